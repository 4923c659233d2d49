/** The tar index of a layer. The format, and how to write one, is told in `index-format.ts`. */
export { PIECE } from "./index-format.ts"
export type {
  Footer, Frame, FrameRef, IndexRecord, Move, PlacedRecord, ReadAt, RecordKind, Saved,
} from "./index-format.ts"
export { IndexWriter, Pieces } from "./index-writer.ts"
export { IndexReader } from "./index-reader.ts"

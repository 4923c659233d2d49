import type { Row } from "../row.ts"
import { engine } from "./engine.ts"
import { images } from "./images.ts"
import { lives } from "./lives.ts"
import { logs } from "./logs.ts"
import { looks } from "./looks.ts"
import { powers } from "./powers.ts"
import { runs } from "./runs.ts"
import { terminals } from "./terminals.ts"

/** Every table, by what it looks at. */
export const TABLES: Readonly<Record<string, readonly Row[]>> = {
  engine,
  images,
  lives,
  logs,
  looks,
  powers,
  runs,
  terminals,
}

import type { Row } from "../row.ts"
import { engine } from "./engine.ts"
import { events } from "./events.ts"
import { images } from "./images.ts"
import { lives, ports } from "./lives.ts"
import { logs } from "./logs.ts"
import { looks } from "./looks.ts"
import { powers } from "./powers.ts"
import { runs } from "./runs.ts"
import { terminals } from "./terminals.ts"

/** Every table, by what it looks at. */
export const TABLES: Readonly<Record<string, readonly Row[]>> = {
  images,
  runs,
  powers,
  lives,
  ports,
  looks,
  logs,
  terminals,
  events,
  engine,
}

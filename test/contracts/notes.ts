import type { Database } from "../../src/store/database.ts"

/** Numbers in a table of their own, one a transaction. */
export const notesIn = (database: Database) => {
  database.begin()
  database.run("CREATE TABLE IF NOT EXISTS note (said INTEGER NOT NULL)")
  database.commit()
  return {
    commit: (note: number): void => {
      database.begin()
      database.run("INSERT INTO note VALUES (?)", note)
      database.commit()
    },
    all: (): readonly number[] =>
      database.all<{ said: number }>("SELECT said FROM note ORDER BY rowid")
        .map(({ said }) => said),
  }
}

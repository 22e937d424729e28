/**
 * Adds STRICT, and WITHOUT ROWID where `clustered` names the table, to the CREATE TABLE statements of a generated
 * migration. Statements that already end in table options are left alone, so running it twice changes nothing.
 */
export function finishSql(sql: string, clustered: readonly string[]): string {
  return sql.replace(/CREATE TABLE `(\w+)` \(\n([\s\S]*?)\n\);/g, (_, name: string, body: string) => {
    // Drizzle rebuilds a table under this prefix when SQLite cannot alter it.
    const table = name.replace(/^__new_/, "")
    const options = clustered.includes(table) ? "STRICT, WITHOUT ROWID" : "STRICT"
    return `CREATE TABLE \`${name}\` (\n${body}\n) ${options};`
  })
}

// What the jsforce manual says for a large result: the query's stream, as CSV, into a file. With `first-page` for
// the file's name it reads one page and writes nothing. usage: jsforce_to_csv.mjs SOQL FILE.

import { createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { connected } from "../tests/clients/jsforce.mjs";

const [soql, file] = process.argv.slice(2);
const connection = await connected();
if (file === "first-page") {
  await connection.query(soql, { autoFetch: false });
} else {
  // Without maxFetch it ends at 10,000 records and says nothing.
  const records = connection.query(soql, { autoFetch: true, maxFetch: 1e9 });
  await pipeline(records.stream("csv"), createWriteStream(file));
}

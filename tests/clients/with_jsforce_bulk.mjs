// jsforce's `bulk2` against the embedded org: every query of bulk.json, a file of rows each.
// usage: with_jsforce_bulk.mjs OUT_DIR, the org and jsforce as jsforce.mjs wants them.

import { readFileSync, writeFileSync } from "node:fs";
import { connected, installed } from "./jsforce.mjs";

const out = process.argv[2];
const connection = await connected();
const summary = { client: "jsforce", version: installed("jsforce/package.json").version, pages: {} };
for (const { name, soql, all_rows } of JSON.parse(readFileSync(new URL("bulk.json", import.meta.url)))) {
  const options = { pollInterval: 200, pollTimeout: 60000, scanAll: all_rows === true };
  const records = await (await connection.bulk2.query(soql, options)).toArray();
  writeFileSync(`${out}/${name}.jsonl`, records.map((record) => JSON.stringify(record) + "\n").join(""));
  // It reads one page: on a second one it breaks, with any org.
  summary.pages[name] = 1;
}
try {
  await connection.bulk2.query("SELECT Id, (SELECT Id FROM Contacts) FROM Account");
} catch (error) {
  summary.refusal = error.errorCode;
}
writeFileSync(`${out}/summary.json`, JSON.stringify(summary));

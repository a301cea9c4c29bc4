// jsforce against the embedded org: every query of queries.json, a file of rows each.
// usage: with_jsforce.mjs OUT_DIR, the org and jsforce as jsforce.mjs wants them.

import { readFileSync, writeFileSync } from "node:fs";
import { connected, installed } from "./jsforce.mjs";

const out = process.argv[2];

// JSON.stringify makes 0 of -0.
const exact = (key, value) => (Object.is(value, -0) ? JSON.rawJSON("-0.0") : value);

async function asked(connection, { name, soql, all_rows }) {
  const query = connection.query(soql, { autoFetch: true, maxFetch: 1e9, scanAll: all_rows === true });
  let pages = 0;
  query.on("fetch", () => (pages += 1));
  const { totalSize, records } = await query;
  writeFileSync(`${out}/${name}.jsonl`, records.map((record) => JSON.stringify(record, exact) + "\n").join(""));
  return { pages, total: totalSize };
}

// How the library tells what the org refuses.
async function refusal(action) {
  try {
    await action();
  } catch (error) {
    return error;
  }
}

const connection = await connected();
const summary = { client: "jsforce", version: installed("jsforce/package.json").version, queries: {} };
for (const query of JSON.parse(readFileSync(new URL("queries.json", import.meta.url)))) {
  summary.queries[query.name] = await asked(connection, query);
}
summary.refusals = {
  login: (await refusal(() => connected({ iss: "somebody else" })))?.name,
  user: (await refusal(() => connected({ sub: "nobody@example.com" })))?.message,
  field: (await refusal(() => connection.query("SELECT Id, Nope FROM Account")))?.errorCode,
  syntax: (await refusal(() => connection.query("SELECT Id FORM Account")))?.errorCode,
};
summary.fields = (await connection.describe("Account")).fields.map((field) => field.name);
summary.limits = Object.keys((await connection.limits()).DailyApiRequests).sort();
writeFileSync(`${out}/summary.json`, JSON.stringify(summary));

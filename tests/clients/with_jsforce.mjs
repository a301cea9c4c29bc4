// jsforce against the embedded org: a login by an assertion that node's own crypto signed, every query of
// queries.json, a file of rows each. usage: with_jsforce.mjs OUT_DIR, the org in ORG_URL, ORG_CLIENT_ID,
// ORG_USERNAME and ORG_KEY_FILE, and the folder that jsforce is installed in in JSFORCE_HOME.

import { createSign } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";

const installed = createRequire(process.env.JSFORCE_HOME + "/");
const { Connection } = installed("jsforce");
const { ORG_URL, ORG_CLIENT_ID, ORG_USERNAME, ORG_KEY_FILE } = process.env;
const out = process.argv[2];

function assertion(changes = {}) {
  const exp = Math.floor(Date.now() / 1000) + 170;
  const claims = { iss: ORG_CLIENT_ID, sub: ORG_USERNAME, aud: ORG_URL, exp, ...changes };
  const encoded = (part) => Buffer.from(JSON.stringify(part)).toString("base64url");
  const signed = `${encoded({ alg: "RS256", typ: "JWT" })}.${encoded(claims)}`;
  const signature = createSign("RSA-SHA256").update(signed).sign(readFileSync(ORG_KEY_FILE), "base64url");
  return `${signed}.${signature}`;
}

async function connected(changes) {
  const connection = new Connection({
    oauth2: { loginUrl: ORG_URL, clientId: ORG_CLIENT_ID, redirectUri: "" },
    version: "62.0",
  });
  const grant_type = "urn:ietf:params:oauth:grant-type:jwt-bearer";
  await connection.authorize({ grant_type, assertion: assertion(changes) });
  return connection;
}

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

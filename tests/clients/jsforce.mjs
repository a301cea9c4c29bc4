// jsforce logged in at the embedded org by an assertion that node's own crypto signed: the org in ORG_URL,
// ORG_CLIENT_ID, ORG_USERNAME and ORG_KEY_FILE, and the folder that jsforce is installed in in JSFORCE_HOME.

import { createSign } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

export const installed = createRequire(process.env.JSFORCE_HOME + "/");
const { Connection } = installed("jsforce");
const { ORG_URL, ORG_CLIENT_ID, ORG_USERNAME, ORG_KEY_FILE } = process.env;

function assertion(changes = {}) {
  const exp = Math.floor(Date.now() / 1000) + 170;
  const claims = { iss: ORG_CLIENT_ID, sub: ORG_USERNAME, aud: ORG_URL, exp, ...changes };
  const encoded = (part) => Buffer.from(JSON.stringify(part)).toString("base64url");
  const signed = `${encoded({ alg: "RS256", typ: "JWT" })}.${encoded(claims)}`;
  const signature = createSign("RSA-SHA256").update(signed).sign(readFileSync(ORG_KEY_FILE), "base64url");
  return `${signed}.${signature}`;
}

export async function connected(changes) {
  const connection = new Connection({
    oauth2: { loginUrl: ORG_URL, clientId: ORG_CLIENT_ID, redirectUri: "" },
    version: "62.0",
  });
  const grant_type = "urn:ietf:params:oauth:grant-type:jwt-bearer";
  await connection.authorize({ grant_type, assertion: assertion(changes) });
  return connection;
}

// node validate.mjs ISSUER AUDIENCE: reads tokens, one a line; says of each, as JSON, its payload or why it is refused.
// As Cloudflare's page shows it, but that keys are fetched again as soon as one is not known.
import { createInterface } from "node:readline";
import { createRemoteJWKSet, jwtVerify } from "jose";

const [issuer, audience] = process.argv.slice(2);
const keys = createRemoteJWKSet(new URL(issuer + "/cdn-cgi/access/certs"), { cooldownDuration: 0 });
for await (const token of createInterface({ input: process.stdin })) {
  let said;
  try {
    said = { payload: (await jwtVerify(token, keys, { issuer, audience })).payload };
  } catch (error) {
    said = { error: error.code ?? String(error) };
  }
  console.log(JSON.stringify(said));
}

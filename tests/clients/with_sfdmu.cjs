// SFDMU against the embedded org: an export to CSV, as its plug-in command runs it. It is not run by Salesforce's CLI,
// which is large and would only hand over the session. usage: with_sfdmu.cjs HOME_DIR OUT_DIR, the org in ORG_URL,
// ORG_CLIENT_ID and ORG_REFRESH_TOKEN, the package in SFDMU_HOME.

const { createRequire } = require('node:module');
const fs = require('node:fs');
const path = require('node:path');

const [home, out] = process.argv.slice(2);
const root = path.join(process.env.SFDMU_HOME, 'node_modules', 'sfdmu');
const load = createRequire(path.join(root, 'package.json'));
process.env.HOME = home;

// It adds Name to each query. Names of accounts hold lone carriage returns, which it does not quote.
const queries = [
    'SELECT Id, LastName, FirstName, Email, Birthdate, LeadSource, HasOptedOutOfEmail, CreatedDate FROM Contact',
    'SELECT Id, Capacity__c, Opened__c, Location__Latitude__s, Features__c, SystemModstamp FROM Warehouse__c',
];

async function main() {
    const form = new URLSearchParams({
        grant_type: 'refresh_token',
        client_id: process.env.ORG_CLIENT_ID,
        refresh_token: process.env.ORG_REFRESH_TOKEN,
    });
    const login = await fetch(`${process.env.ORG_URL}/services/oauth2/token`, { method: 'POST', body: form });
    const { access_token: accessToken, instance_url: instanceUrl } = await login.json();
    fs.writeFileSync(
        path.join(out, 'export.json'),
        JSON.stringify({
            orgs: [{ name: 'source@demo', instanceUrl, accessToken }],
            objects: queries.map(query => ({ query, operation: 'Readonly' })),
        }),
    );
    const config = await load('@oclif/config').load(root);
    const flags = ['--sourceusername', 'source@demo', '--targetusername', 'csvfile', '--path', out, '--noprompt'];
    // It ends the process with its own status.
    await config.runCommand('sfdmu:run', flags);
}

main().catch(error => {
    console.error(error);
    process.exit(1);
});

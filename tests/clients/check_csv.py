"""The CSV of Salesforce's own CLI against the data set. usage: check_csv.py DUMP.jsonl ROWS.csv, the rows of
`SELECT Id, LastName, Birthdate, HasOptedOutOfEmail, CreatedDate, Account.Industry, Account.Owner.Name FROM Contact`."""

import csv
import pathlib
import sys

from compare import DataSet

data = DataSet(pathlib.Path(sys.argv[1]))


def row(contact):
    account = data.up(contact, "AccountId")
    owner = data.up(account, "OwnerId")
    truth = str(contact["HasOptedOutOfEmail"]).lower()
    fields = [contact["Id"], contact["LastName"], contact["Birthdate"], truth, contact["CreatedDate"]]
    fields += [account and account["Industry"], owner and owner["Name"]]
    return [field or "" for field in fields]


with open(sys.argv[2], newline="") as file:
    header, *got = csv.reader(file)
expected = [row(contact) for contact in data.live("Contact")]
same = got == expected
print(f"columns: {', '.join(header)}")
print(f"{len(got)} rows, {'each as the data set has it' if same else 'DIFFERENT from the data set'}")
sys.exit(not same)

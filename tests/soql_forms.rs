//! Queries as people write them, of every form of SOQL's grammar: none is refused, and each has the columns that
//! were worked out by hand.

use sfexport::soql::{Columns, Query};

/// A query, and its columns separated by blanks.
type Form = (&'static str, &'static str);

/// Plain select lists, spelling, white space, aliases of the object.
const LISTS: &[Form] = &[
    ("SELECT Id FROM Account", "Id"),
    ("select id from account", "id"),
    ("SELECT Id,Name,Industry FROM Account", "Id Name Industry"),
    ("  SELECT\n\tId ,\r\n\tName\nFROM\n\tAccount\n", "Id Name"),
    ("SELECT Id, Name FROM Account;", "Id Name"),
    ("SELECT a.Id, a.Name FROM Account a", "Id Name"),
    ("SELECT a.Id, a.Owner.Name FROM Account AS a", "Id Owner.Name"),
    ("SELECT Account.Id, Account.Parent.Name FROM Account", "Id Parent.Name"),
    ("SELECT ACCOUNT.Id FROM account", "Id"),
    ("SELECT c.Id, c.FirstName, a.Name FROM Contact c, c.Account a", "Id FirstName Account.Name"),
    (
        "SELECT Id, a.Name, u.Email FROM Contact c, c.Account a, a.Owner u",
        "Id Account.Name Account.Owner.Email",
    ),
    ("SELECT Id FROM Contact, Contact.Account a WHERE a.Name = 'x'", "Id"),
    ("SELECT Id, Account.Owner.Manager.Manager.Name FROM Contact", "Id Account.Owner.Manager.Manager.Name"),
    (
        "SELECT Id, My_Field__c, Parent__r.Name, Parent__r.Top__r.Code__c FROM Thing__c",
        "Id My_Field__c Parent__r.Name Parent__r.Top__r.Code__c",
    ),
    ("SELECT ns__A__c, ns__B__r.ns__C__c FROM ns__Thing__c", "ns__A__c ns__B__r.ns__C__c"),
    ("SELECT Thing__c.Id, Thing__c.Parent__r.Name FROM Thing__c", "Id Parent__r.Name"),
    ("SELECT Group.Name, UserOrGroupId FROM GroupMember", "Group.Name UserOrGroupId"),
    ("SELECT Id, Order.OrderNumber FROM OrderItem", "Id Order.OrderNumber"),
    ("SELECT Id, Status FROM Order ORDER BY EffectiveDate", "Id Status"),
    ("SELECT Id FROM Group", "Id"),
    ("SELECT Id, Division, Case.Subject FROM CaseComment", "Id Division Case.Subject"),
    ("SELECT Field FROM AccountHistory", "Field"),
    ("SELECT DeveloperName, Value__c FROM Setting__mdt", "DeveloperName Value__c"),
    ("SELECT Id, EventUuid FROM Ev__e", "Id EventUuid"),
    ("SELECT ExternalId, DisplayUrl FROM Orders__x", "ExternalId DisplayUrl"),
    (
        "SELECT Account__c, Purchase_Date__c FROM History__b WHERE Account__c = '001' AND Purchase_Date__c > 2020-01-01T00:00:00Z",
        "Account__c Purchase_Date__c",
    ),
    ("SELECT Id, BillingAddress, Location__c FROM Account", "Id BillingAddress Location__c"),
    (
        "SELECT Id, BillingStreet, BillingCity, Location__Latitude__s FROM Account",
        "Id BillingStreet BillingCity Location__Latitude__s",
    ),
    (
        "SELECT FirstName__pc, PersonContact.Email FROM Account WHERE IsPersonAccount = TRUE",
        "FirstName__pc PersonContact.Email",
    ),
];

/// WHERE: operators, literals, dates, semi-joins, nesting.
const CONDITIONS: &[Form] = &[
    ("SELECT Id FROM Account WHERE Name = 'Acme'", "Id"),
    ("SELECT Id FROM Account WHERE Name = 'O\\'Neil'", "Id"),
    ("SELECT Id FROM Account WHERE Name LIKE '100\\%\\_%'", "Id"),
    ("SELECT Id FROM Account WHERE Name != null AND Name <> ''", "Id"),
    ("SELECT Id FROM Account WHERE Description = 'a -- b // c /* d */ ; \"e\" :f'", "Id"),
    ("SELECT Id FROM Account WHERE Name = 'SELECT Id FROM X ORDER BY Y ALL ROWS'", "Id"),
    ("SELECT Id FROM Account WHERE Name = 'Müller 東京 😀'", "Id"),
    ("SELECT Id FROM Account WHERE Name = '\\u00e4\\n\\t\\\\'", "Id"),
    ("SELECT Id FROM Account WHERE AnnualRevenue>1000000", "Id"),
    ("SELECT Id FROM Account WHERE AnnualRevenue >= 1.5e6 AND NumberOfEmployees < +10", "Id"),
    ("SELECT Id FROM Opportunity WHERE Amount > - 5", "Id"),
    ("SELECT Id FROM Opportunity WHERE Amount > -5 AND Probability = .5", "Id"),
    ("SELECT Id FROM Opportunity WHERE Amount > USD5000", "Id"),
    ("SELECT Id FROM Opportunity WHERE Amount > EUR5000.25", "Id"),
    ("SELECT Id FROM Account WHERE CreatedDate = TODAY", "Id"),
    ("SELECT Id FROM Account WHERE CreatedDate = LAST_N_DAYS:30", "Id"),
    ("SELECT Id FROM Account WHERE CreatedDate = LAST_N_DAYS: 30", "Id"),
    ("SELECT Id FROM Account WHERE CreatedDate >= NEXT_N_WEEKS :2", "Id"),
    ("SELECT Id FROM Account WHERE CreatedDate < n_days_ago : 7", "Id"),
    ("SELECT Id FROM Account WHERE CreatedDate = LAST_N_FISCAL_QUARTERS:12", "Id"),
    ("SELECT Id FROM Account WHERE CreatedDate > 2026-01-01T00:00:00Z", "Id"),
    ("SELECT Id FROM Account WHERE CreatedDate > 2026-01-01T00:00:00.000+0000", "Id"),
    ("SELECT Id FROM Account WHERE CreatedDate > 2026-01-01T00:00:00-08:00", "Id"),
    ("SELECT Id FROM Opportunity WHERE CloseDate = 2026-02-29", "Id"),
    ("SELECT Id FROM BusinessHours WHERE MondayStartTime = 09:00:00.000Z", "Id"),
    ("SELECT Id FROM Account WHERE IsDeleted = false", "Id"),
    ("SELECT Id FROM Account WHERE (Name = 'a' OR Name = 'b') AND NOT Industry = 'c'", "Id"),
    ("SELECT Id FROM Account WHERE NOT (Name = 'a' OR (NOT Name LIKE 'b%'))", "Id"),
    ("SELECT Id FROM Account WHERE Id IN ('001000000000001','001000000000002')", "Id"),
    ("SELECT Id FROM Account WHERE Industry NOT IN ('a', null)", "Id"),
    ("SELECT Id FROM Account WHERE Interests__c INCLUDES ('a;b', 'c')", "Id"),
    ("SELECT Id FROM Account WHERE Interests__c excludes('a')", "Id"),
    ("SELECT Id FROM Account WHERE Id IN (SELECT AccountId FROM Contact WHERE LastName = 'x')", "Id"),
    (
        "SELECT Id FROM Account WHERE Id NOT IN (SELECT AccountId FROM Opportunity WHERE IsClosed = false) AND Name > 'm'",
        "Id",
    ),
    ("SELECT Id FROM Task WHERE Who.Type = 'Lead' AND What.Name = 'x'", "Id"),
    ("SELECT Id FROM Contact WHERE Account.Owner.Profile.Name = 'Admin'", "Id"),
    ("SELECT Id FROM Case WHERE toLabel(Status) = 'Neu'", "Id"),
    ("SELECT Id FROM Event WHERE CALENDAR_YEAR(convertTimezone(CreatedDate)) = 2026", "Id"),
    ("SELECT Id FROM Event WHERE DAY_ONLY(CreatedDate) = 2026-01-01", "Id"),
    (
        "SELECT Id FROM Warehouse__c WHERE DISTANCE(Location__c, GEOLOCATION(37.775,-122.418), 'mi') < 20",
        "Id",
    ),
    ("SELECT Id FROM Warehouse__c WHERE DISTANCE(Location__c, GEOLOCATION(37.7, - 122.4), 'km') > 20", "Id"),
    ("SELECT Id FROM Account WHERE Name = 'x' AND (((Industry = 'y')))", "Id"),
    ("SELECT Id FROM User WHERE Id = '005000000000001AAA' LIMIT 1", "Id"),
];

/// The other clauses after FROM.
const CLAUSES: &[Form] = &[
    ("SELECT Id FROM Account LIMIT 10", "Id"),
    ("SELECT Id FROM Account LIMIT 10 OFFSET 20", "Id"),
    ("SELECT Id FROM Account ORDER BY Name", "Id"),
    ("SELECT Id FROM Account ORDER BY Name ASC NULLS LAST, CreatedDate DESC NULLS FIRST", "Id"),
    (
        "SELECT Id FROM Account ORDER BY Owner.Name desc, DISTANCE(Location__c, GEOLOCATION(10, 10), 'km')",
        "Id",
    ),
    ("SELECT Id FROM Account USING SCOPE mine", "Id"),
    ("SELECT Id FROM Account USING SCOPE Delegated WHERE Name = 'x' LIMIT 5", "Id"),
    ("SELECT Id FROM Account WITH SECURITY_ENFORCED", "Id"),
    ("SELECT Id FROM Account WITH USER_MODE ORDER BY Name", "Id"),
    ("SELECT Id FROM Account WHERE Name = 'x' WITH SYSTEM_MODE", "Id"),
    (
        "SELECT Title FROM KnowledgeArticleVersion WHERE PublishStatus='online' WITH DATA CATEGORY Geography__c ABOVE usa__c",
        "Title",
    ),
    (
        "SELECT Title FROM Question WHERE LastReplyDate < LAST_N_DAYS:1 WITH DATA CATEGORY Geo__c AT (usa__c, uk__c) AND Product__c BELOW all__c",
        "Title",
    ),
    ("SELECT Id FROM Account FOR VIEW", "Id"),
    ("SELECT Id FROM Account LIMIT 1 FOR REFERENCE", "Id"),
    ("SELECT Id FROM Account LIMIT 1 FOR UPDATE", "Id"),
    ("SELECT Id FROM Account LIMIT 1 FOR VIEW FOR REFERENCE", "Id"),
    ("SELECT Title FROM FAQ__kav WHERE Language = 'en_US' UPDATE VIEWSTAT", "Title"),
    ("SELECT Title FROM FAQ__kav WHERE Keyword = 'Apex' UPDATE TRACKING", "Title"),
    ("SELECT Id FROM Account LIMIT 5 UPDATE TRACKING, VIEWSTAT", "Id"),
    ("SELECT Id FROM Knowledge__kav WHERE IsLatestVersion = true AND Language = 'de'", "Id"),
    ("SELECT Id FROM ContentDocumentLink WHERE LinkedEntityId IN (SELECT Id FROM Account) LIMIT 100", "Id"),
    (
        "SELECT Id, PathOnClient, VersionData FROM ContentVersion WHERE IsLatest = true",
        "Id PathOnClient VersionData",
    ),
    ("SELECT Id FROM Account WHERE Name = 'x' LIMIT 1 SOMETHING NEW", "Id"),
];

/// Grouped queries and aggregates: an alias, `exprN`, or the last segment of a path.
const GROUPS: &[Form] = &[
    ("SELECT COUNT() FROM Account", "count"),
    ("select count ( ) from Contact c, c.Account a where a.Name = 'x'", "count"),
    ("SELECT COUNT(Id) FROM Account", "expr0"),
    ("SELECT COUNT(Id) total FROM Account", "total"),
    ("SELECT COUNT_DISTINCT(Company) FROM Lead", "expr0"),
    ("SELECT MIN(CreatedDate), MAX(CreatedDate) FROM Lead", "expr0 expr1"),
    ("SELECT LeadSource, COUNT(Name) FROM Lead GROUP BY LeadSource", "LeadSource expr0"),
    (
        "SELECT LeadSource ls, COUNT(Name) n, SUM(AnnualRevenue) FROM Lead GROUP BY LeadSource HAVING COUNT(Name) > 100",
        "ls n expr0",
    ),
    ("SELECT LeadSource FROM Lead GROUP BY LeadSource", "LeadSource"),
    ("SELECT Account.Name, AVG(Amount) FROM Opportunity GROUP BY Account.Name", "Name expr0"),
    (
        "SELECT Account.Name account, Owner.Name owner FROM Opportunity GROUP BY Account.Name, Owner.Name",
        "account owner",
    ),
    (
        "SELECT o.Owner.Name, SUM(o.Amount) s FROM Opportunity o GROUP BY o.Owner.Name ORDER BY SUM(o.Amount) DESC LIMIT 10",
        "Name s",
    ),
    (
        "SELECT CALENDAR_YEAR(CreatedDate), SUM(Amount) FROM Opportunity GROUP BY CALENDAR_YEAR(CreatedDate)",
        "expr0 expr1",
    ),
    (
        "SELECT CALENDAR_YEAR(CreatedDate) year, CALENDAR_MONTH(CreatedDate) month, COUNT(Id) FROM Lead GROUP BY CALENDAR_YEAR(CreatedDate), CALENDAR_MONTH(CreatedDate)",
        "year month expr0",
    ),
    (
        "SELECT HOUR_IN_DAY(convertTimezone(CreatedDate)), SUM(Amount) FROM Opportunity GROUP BY HOUR_IN_DAY(convertTimezone(CreatedDate))",
        "expr0 expr1",
    ),
    (
        "SELECT LeadSource, Rating, GROUPING(LeadSource) grpLS, GROUPING(Rating) grpRating, COUNT(Name) cnt FROM Lead GROUP BY ROLLUP(LeadSource, Rating)",
        "LeadSource Rating grpLS grpRating cnt",
    ),
    (
        "SELECT Type, BillingCountry, COUNT(Id) accts FROM Account GROUP BY CUBE(Type, BillingCountry)",
        "Type BillingCountry accts",
    ),
    ("SELECT StageName, FORMAT(MAX(Amount)) top FROM Opportunity GROUP BY StageName", "StageName top"),
    ("SELECT FORMAT(MIN(CloseDate)) FROM Opportunity", "expr0"),
    ("SELECT toLabel(Status) label, COUNT(Id) FROM Case GROUP BY Status", "label expr0"),
    ("SELECT toLabel(RecordType.Name), COUNT(Id) FROM Lead GROUP BY RecordType.Name", "Name expr0"),
    ("SELECT convertCurrency(Amount) c, COUNT(Id) n FROM Opportunity GROUP BY Amount", "c n"),
    (
        "SELECT FISCAL_QUARTER(CloseDate) q, MAX(Account.AnnualRevenue) m FROM Opportunity GROUP BY FISCAL_QUARTER(CloseDate)",
        "q m",
    ),
    ("SELECT DAY_ONLY(CreatedDate) d, COUNT(Id) n FROM Account GROUP BY DAY_ONLY(CreatedDate)", "d n"),
];

/// Functions of fields in queries that are not grouped.
const FUNCTIONS: &[Form] = &[
    ("SELECT Company, toLabel(Status) FROM Lead", "Company Status"),
    ("SELECT Company, toLabel(Status) shown FROM Lead", "Company shown"),
    ("SELECT Id, toLabel(RecordType.Name) FROM Lead", "Id RecordType.Name"),
    ("SELECT Id, toLabel(RecordType.Name) shown FROM Lead", "Id RecordType.shown"),
    (
        "SELECT Amount, FORMAT(Amount) Amt, convertCurrency(Amount) here, FORMAT(convertCurrency(Amount)) both FROM Opportunity",
        "Amount Amt here both",
    ),
    ("SELECT Id, FORMAT(Opportunity.Amount) money FROM OpportunityLineItem", "Id Opportunity.money"),
    (
        "SELECT Id, FORMAT(convertCurrency(Opportunity.Account.AnnualRevenue)) r FROM OpportunityLineItem",
        "Id Opportunity.Account.r",
    ),
    (
        "SELECT Id, FORMAT(l.UnitPrice) p, FORMAT(l.Opportunity.Amount) m FROM OpportunityLineItem l",
        "Id p Opportunity.m",
    ),
    (
        "SELECT Name, DISTANCE(Location__c, GEOLOCATION(37.775,-122.418), 'mi') FROM Warehouse__c",
        "Name expr0",
    ),
    (
        "SELECT Name, DISTANCE(Location__c, GEOLOCATION(37.7, - 122.4), 'mi') away FROM Warehouse__c",
        "Name away",
    ),
    ("SELECT Id, convertTimezone(CreatedDate) FROM Account", "Id expr0"),
];

/// Child queries, polymorphic fields.
const NESTED: &[Form] = &[
    ("SELECT Name, (SELECT LastName FROM Contacts) FROM Account", "Name Contacts"),
    ("SELECT Account.Name, (SELECT Contact.LastName FROM Account.Contacts) FROM Account", "Name Contacts"),
    (
        "SELECT Name, (SELECT c.LastName, c.Account.Name FROM Contacts c WHERE c.Email != null ORDER BY c.LastName LIMIT 5) FROM Account a",
        "Name Contacts",
    ),
    (
        "SELECT Id, (SELECT Id FROM Contacts), (SELECT Id, Amount FROM Opportunities WHERE IsWon = true) FROM Account WHERE Id IN (SELECT AccountId FROM Contact)",
        "Id Contacts Opportunities",
    ),
    ("SELECT (SELECT Id FROM Children__r), Name FROM Thing__c", "Children__r Name"),
    (
        "SELECT Id, (SELECT Id, (SELECT Id, (SELECT Id FROM OrderItems) FROM Orders) FROM Contracts) FROM Account",
        "Id Contracts",
    ),
    ("SELECT Id, (SELECT Contact.LastName FROM Cases) FROM Account", "Id Cases"),
    (
        "SELECT Id, (SELECT Id, What.Name, TYPEOF Who WHEN Contact THEN Email END FROM Tasks USING SCOPE everything) FROM Account",
        "Id Tasks",
    ),
    ("SELECT Id, (SELECT COUNT() FROM Contacts) FROM Account", "Id Contacts"),
    (
        "SELECT Id, (SELECT ActivityDate, Description FROM ActivityHistories ORDER BY ActivityDate DESC NULLS LAST LIMIT 500) FROM Account",
        "Id ActivityHistories",
    ),
    (
        "SELECT TYPEOF What WHEN Account THEN Phone, NumberOfEmployees WHEN Opportunity THEN Amount, CloseDate ELSE Name, Email END FROM Event",
        "What.Phone What.NumberOfEmployees What.Amount What.CloseDate What.Name What.Email",
    ),
    (
        "SELECT Id, TYPEOF Owner WHEN User THEN Id, Username WHEN Group THEN Id, DeveloperName END, Subject FROM Case",
        "Id Owner.Id Owner.Username Owner.DeveloperName Subject",
    ),
    (
        "SELECT TYPEOF Owner WHEN User THEN Profile.Name END FROM Event WHERE CreatedById IN (SELECT CreatedById FROM Case)",
        "Owner.Profile.Name",
    ),
    ("SELECT Id, Owner.Type, Owner.Name, What.Type FROM Event", "Id Owner.Type Owner.Name What.Type"),
];

#[test]
fn no_form_of_soql_is_refused_and_each_has_its_columns() {
    let all = [LISTS, CONDITIONS, CLAUSES, GROUPS, FUNCTIONS, NESTED].concat();
    assert!(all.len() > 140, "{}", all.len());
    for (text, expected) in all {
        let query = Query::parse(text).unwrap_or_else(|error| panic!("{text}\n{error}"));
        let columns = Columns::of(&query).unwrap_or_else(|error| panic!("{text}\n{error}"));
        let expected: Vec<_> = expected.split(' ').collect();
        assert_eq!(columns.names(), expected, "{text}");
        // The org gets what was written.
        assert_eq!(query.text, text.trim().trim_end_matches(';'), "{text}");
    }
}

#[test]
fn the_columns_of_fields_are_asked_of_the_org() {
    for text in [
        "SELECT FIELDS(ALL) FROM Account LIMIT 200",
        "SELECT Id, FIELDS(CUSTOM) FROM Account LIMIT 200",
        "SELECT FIELDS(standard), Owner.Name FROM Account",
        "SELECT Id, (SELECT FIELDS(STANDARD) FROM Contacts LIMIT 200) FROM Account",
    ] {
        let query = Query::parse(text).unwrap_or_else(|error| panic!("{text}\n{error}"));
        assert!(Columns::need_description(&query, sfexport::soql::Layout::default()), "{text}");
    }
}

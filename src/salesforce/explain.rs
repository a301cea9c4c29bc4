//! How an org would run a query: the plan that `query?explain=` returns instead of records.

use serde::{Deserialize, Serialize};

/// The plan that the org would choose.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(rename_all(deserialize = "camelCase"))]
pub struct Plan {
    /// The estimated number of records that the leading operation returns.
    pub cardinality: u64,
    /// The estimated number of records of the object.
    pub sobject_cardinality: u64,
    /// `Index`, `Sharing`, `TableScan` or `Other`.
    pub leading_operation_type: String,
    /// The cost relative to the threshold for a selective query: above 1 the query is not selective.
    pub relative_cost: f64,
    /// The object.
    pub sobject_type: String,
}

/// Reads the response and returns its first plan, which is the one that the org would choose. `None` if there is
/// none.
#[must_use]
pub fn read(body: &[u8]) -> Option<Plan> {
    #[derive(Deserialize)]
    struct Plans {
        plans: Vec<Plan>,
    }
    serde_json::from_slice::<Plans>(body).ok()?.plans.into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn the_first_plan_is_the_one_chosen() {
        let body = br#"{"plans":[
            {"cardinality":1200000,"fields":[],"leadingOperationType":"TableScan","notes":[],"relativeCost":1.4,
             "sobjectCardinality":3000000,"sobjectType":"Invoice__c"},
            {"cardinality":1,"fields":["CreatedDate"],"leadingOperationType":"Index","notes":[],"relativeCost":2.0,
             "sobjectCardinality":3000000,"sobjectType":"Invoice__c"}],"sourceQuery":"SELECT ..."}"#;
        let plan = read(body).unwrap();
        assert_eq!((plan.cardinality, plan.sobject_cardinality), (1_200_000, 3_000_000));
        assert_eq!(
            (plan.leading_operation_type.as_str(), plan.sobject_type.as_str()),
            ("TableScan", "Invoice__c")
        );
        assert_eq!(read(br#"{"plans":[]}"#), None);
        assert_eq!(read(b"[]"), None);
    }
}

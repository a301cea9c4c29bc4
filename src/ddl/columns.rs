//! The columns of a query → those of its files, with the keys that lead to them in a record of JSON Lines.

use super::Column;
use crate::soql::{ColumnRules, Columns, Described, Level, Node, OutputColumn, described_by_name};
use crate::value::FieldType;

/// The key that holds the type and the URL of a record.
const ATTRIBUTES: &str = "attributes";

/// What decides the form of a record of JSON Lines, besides the query.
#[derive(Debug, Clone, Copy)]
pub struct JsonForm<'r> {
    /// Whether it is a group of records.
    pub grouped: bool,
    /// Whether records keep their `attributes`.
    pub attributes: bool,
    /// The names and types that the job sets.
    pub rules: &'r ColumnRules,
}

/// The columns of a CSV file. A file of a child query begins with the Id of the record that a row belongs to.
#[must_use]
pub fn csv_columns(columns: &Columns, grouped: bool, of_child: bool) -> Vec<Column> {
    let id = columns.id().filter(|_| !grouped);
    let column = |(at, OutputColumn { original, name, field_type }): (usize, OutputColumn<'_>)| Column {
        name: name.to_owned(),
        original: original.to_owned(),
        keys: vec![name.to_owned()],
        field_type: field_type.unwrap_or(FieldType::Text),
        type_is_set: false,
        required: id == Some(at) || of_child && at == 0 || columns.is_count(),
        optional: false,
        children: None,
    };
    columns.outputs().enumerate().map(column).collect()
}

/// The values of a record of JSON Lines. The org sends its own spelling of a key, which `described` has. A record with new
/// names is a flat object.
#[must_use]
pub fn json_columns(columns: &Columns, described: Option<&[Described]>, form: JsonForm<'_>) -> Vec<Column> {
    if columns.is_count() {
        return csv_columns(columns, form.grouped, false);
    }
    let id = columns.id().filter(|_| !form.grouped);
    let mut reader = Reader { columns, form, id, keys: Vec::new(), found: Vec::new() };
    let shape = columns.shape_described(described);
    reader.level(shape, described.unwrap_or_default(), false);
    let mut found = reader.found;
    if columns.is_renamed() {
        found.sort_by_key(|(place, _)| *place);
        for (place, column) in &mut found {
            let name = place.and_then(|place| columns.output_names().get(place)).unwrap_or(&column.name);
            column.keys = vec![name.clone()];
            column.name = name.clone();
            column.optional = false;
        }
    }
    found.into_iter().map(|(_, column)| column).collect()
}

struct Reader<'c> {
    columns: &'c Columns,
    form: JsonForm<'c>,
    id: Option<usize>,
    keys: Vec<String>,
    /// Each with its place among the query's columns.
    found: Vec<(Option<usize>, Column)>,
}

impl Reader<'_> {
    fn level(&mut self, level: &Level, described: &[Described], optional: bool) {
        if self.form.attributes {
            let keys = [&self.keys[..], &[ATTRIBUTES.to_owned()]].concat();
            let column = Column {
                name: keys.join("."),
                original: keys.join("."),
                keys,
                field_type: FieldType::Json,
                type_is_set: false,
                required: false,
                optional,
                children: None,
            };
            self.found.push((None, column));
        }
        let described = described_by_name(described);
        for entry in level.entries() {
            let known = described.get(&entry.key.to_ascii_lowercase());
            let key = known.map_or(&entry.key, |known| &known.name);
            self.keys.push(key.clone());
            let inner = known.map(|known| known.inner.as_slice());
            let optional = optional || entry.optional;
            match &entry.node {
                Node::Value(column) => self.value(*column, optional),
                Node::Parent(level) => self.level(level, inner.unwrap_or_default(), optional),
                Node::Children { column, columns, .. } => {
                    let children = json_columns(columns, inner, JsonForm { grouped: false, ..self.form });
                    self.push(*column, FieldType::Json, optional, Some(children));
                }
            }
            self.keys.pop();
        }
    }

    fn value(&mut self, column: usize, optional: bool) {
        let field_type = self.columns.types().get(column).copied().flatten().unwrap_or(FieldType::Any);
        self.push(column, field_type, optional, None);
    }

    fn push(&mut self, column: usize, field_type: FieldType, optional: bool, children: Option<Vec<Column>>) {
        let required = self.id == Some(column);
        let (name, keys) = (self.columns.cell_name(column).to_owned(), self.keys.clone());
        let qualified = self.columns.qualified(column);
        let type_is_set = self.form.rules.types.iter().any(|(set, _)| set.eq_ignore_ascii_case(&qualified));
        let original = name.clone();
        let column_of =
            Column { name, original, keys, field_type, type_is_set, required, optional, children };
        self.found.push((Some(column), column_of));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soql::{Layout, Query, ValueKind};

    fn described(name: &str, inner: Vec<Described>) -> Described {
        let kind = if inner.is_empty() { ValueKind::Plain(FieldType::Text) } else { ValueKind::Unknown };
        Described { name: name.to_owned(), computed: false, kind, inner }
    }

    #[test]
    fn keys_are_the_orgs_with_its_case_and_namespace() {
        let query = Query::parse("SELECT id, Size__c, Depot__r.city__c FROM Box__c").expect("a query");
        let described = [
            described("Id", vec![]),
            described("ns__Size__c", vec![]),
            described("ns__Depot__r", vec![described("ns__City__c", vec![])]),
        ];
        let columns = Columns::laid_out(&query, Layout::default(), Some(&described)).expect("columns");
        let form = JsonForm { grouped: false, attributes: false, rules: &ColumnRules::default() };
        let found = json_columns(&columns, Some(&described), form);
        let keys: Vec<_> = found.iter().map(|column| column.keys.join(" ")).collect();
        assert_eq!(keys, ["Id", "ns__Size__c", "ns__Depot__r ns__City__c"]);
        let names: Vec<_> = found.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["id", "Size__c", "Depot__r.city__c"]);
    }
}

use super::*;

fn sample() -> Table<'static> {
    Table::new(3)
        .with_texts(column::TEXT, ["a", "", "ça"])
        .and_then(|t| t.with_integers(column::LABEL, vec![1, 0, 1]))
        .and_then(|t| {
            t.with_column(
                "ragged",
                vec![0, 2, 2, 3].into(),
                Values::Numbers(vec![1.0, 2.0, 3.0].into()),
            )
        })
        .unwrap()
}

#[test]
fn cells_give_their_own_values() {
    let table = sample();
    assert_eq!(
        table.texts(column::TEXT).unwrap().collect::<Vec<_>>(),
        ["a", "", "ça"]
    );
    let ragged = table.column("ragged").unwrap();
    assert_eq!(ragged.numbers(0), [1.0, 2.0]);
    assert!(ragged.numbers(1).is_empty());
    assert!(
        table
            .numbers("ragged")
            .unwrap_err()
            .message
            .contains("row 0")
    );
}

#[test]
fn rows_can_be_taken_in_any_order_and_more_than_once() {
    let taken = sample().take(&[2, 0, 2]);
    assert_eq!(
        taken.texts(column::TEXT).unwrap().collect::<Vec<_>>(),
        ["ça", "a", "ça"]
    );
    assert_eq!(taken.integers(column::LABEL).unwrap(), [1, 1, 1]);
    assert_eq!(taken.column("ragged").unwrap().numbers(1), [1.0, 2.0]);
}

#[test]
fn parts_that_do_not_fit_are_refused() {
    assert!(Table::new(2).with_integers("x", vec![1]).is_err());
    assert!(
        sample()
            .with_integers(column::LABEL, vec![1, 2, 3])
            .is_err()
    );
    let cut = Values::Texts {
        ends: vec![1, 2, 3].into(),
        bytes: "ça".into(),
    };
    assert!(
        Table::new(3)
            .with_column("x", Cow::Borrowed(&[]), cut)
            .is_err()
    );
    let backwards = Values::Integers(vec![1, 2].into());
    assert!(
        Table::new(2)
            .with_column("x", vec![0, 2, 1].into(), backwards)
            .is_err()
    );
}

#[test]
fn an_absent_column_is_named_with_those_there_are() {
    let error = sample().integers("lable").unwrap_err();
    assert!(error.message.contains("`lable`") && error.message.contains("`label`"));
}

//! Which ring a total goes to, which range is checked, and how different types meet.

use party_agent::catalogue::ColumnKind;
use party_agent::plan::{Measure, MeasureKind, Plan, RangeOrigin, RingWidth};

use super::fixture::{
    Catalogues, With, column, decimal, faults, hospitals, int, job, local, party, plan, planned,
};

/// Rows of three hospitals' tables, as published.
const ROWS: i128 = 3 << 16;

/// The hospitals with one more column `x` in every table.
fn with_column(make: impl Fn(usize) -> party_agent::catalogue::ColumnEntry) -> Catalogues {
    let mut catalogues = hospitals();
    for i in 1..=3 {
        let name = party(&format!("hospital_{i}"));
        let hospital = catalogues.get_mut(&name).expect("it is there");
        let table = hospital.tables.get_mut("encounters").expect("it is there");
        table.columns.push(make(i));
    }
    catalogues
}

fn measure(plan: &Plan) -> &Measure {
    &plan.measures[0]
}

fn sum_ring(high: i128, kind: ColumnKind) -> Result<RingWidth, Vec<String>> {
    let catalogues = with_column(|_| column("x", kind.clone()).range("0", &high.to_string()));
    let text = job("SELECT SUM(x) FROM {e} e");
    match super::fixture::try_plan(&text, &catalogues) {
        Ok(plan) => Ok(measure(&plan).sum.expect("a sum").ring),
        Err(faults) => Err(faults.iter().map(ToString::to_string).collect()),
    }
}

#[test]
fn the_bound_times_the_rows_decides_on_the_ring() {
    let narrow = i128::from(i64::MAX) / ROWS;
    assert_eq!(sum_ring(narrow, int(64)), Ok(RingWidth::Narrow));
    assert_eq!(sum_ring(narrow + 1, int(64)), Ok(RingWidth::Wide));
    let wide = i128::MAX / ROWS;
    assert_eq!(sum_ring(wide, decimal(38, 0)), Ok(RingWidth::Wide));
    assert_eq!(
        sum_ring(wide + 1, decimal(38, 0)),
        Err(vec![format!(
            "hospital_1.encounters.x, hospital_2.encounters.x, hospital_3.encounters.x: the sum of x over 196608 rows does not fit 128 bits, by the declared range; declare a range within ±{wide}"
        )])
    );
}

#[test]
fn squares_are_bounded_too() {
    let catalogues = with_column(|_| column("x", int(64)).range("0", "1000000000000000000"));
    let found = faults(&job("SELECT VAR_SAMP(x) FROM {e} e"), &catalogues);
    assert!(
        found[0].contains("the sum of squares of x over 196608 rows does not fit 128 bits"),
        "{found:?}"
    );
    let small = planned("SELECT VAR_SAMP(time_in_hospital) FROM {e} e");
    let slots = (
        measure(&small).sum.expect("a sum"),
        measure(&small).sum_sq.expect("squares"),
    );
    assert_eq!(
        (slots.0.ring, slots.1.ring),
        (RingWidth::Narrow, RingWidth::Narrow)
    );
}

#[test]
fn undeclared_ranges_come_from_types_or_are_assumed_and_said() {
    let sum = planned("SELECT SUM(num_lab_procedures) FROM {e} e");
    assert_eq!(measure(&sum).range.origin, RangeOrigin::Type);
    assert_eq!(measure(&sum).range.high, i64::MAX.to_string());
    let var = planned("SELECT VAR_POP(num_lab_procedures) FROM {e} e");
    let range = &measure(&var).range;
    assert_eq!(range.origin, RangeOrigin::Assumed);
    let high: i128 = range.high.parse().expect("a whole number");
    assert!(high * high <= i128::MAX / ROWS && (high + 1) * (high + 1) > i128::MAX / ROWS);
    let said = format!(
        "no range is declared for num_lab_procedures: it is assumed to lie within -{high} to {high}"
    );
    assert!(
        var.warnings.iter().any(|w| w.starts_with(&said)),
        "{:?}",
        var.warnings
    );
    let float = planned("SELECT AVG(weight) FROM {e} e");
    let slot = measure(&float).sum.expect("a sum");
    assert_eq!(
        (measure(&float).range.origin, slot.frac_bits),
        (RangeOrigin::Assumed, 40)
    );
}

#[test]
fn floats_keep_the_bits_that_the_ring_has_and_say_so() {
    let plan = planned("SELECT STDDEV_SAMP(bmi) FROM {e} e");
    let (sum, squares) = (
        measure(&plan).sum.expect("a sum"),
        measure(&plan).sum_sq.expect("squares"),
    );
    // 80 < 2^7 and 196608 < 2^18: 126 − 18 − 7 bits are left, and at most 100 are used.
    assert_eq!((sum.frac_bits, squares.frac_bits), (100, 94));
    assert!(plan.notes.contains(&"floating-point bmi: the sum of a group is within 3·2^-101 of the exact sum of its values, the sum of squares within 3·2^-95".to_owned()), "{:?}", plan.notes);
}

#[test]
fn whole_numbers_of_any_width_add_up_as_they_are() {
    let kinds = [
        int(8),
        ColumnKind::Int {
            bits: 64,
            signed: false,
        },
        int(32),
    ];
    let catalogues = with_column(|i| column("x", kinds[i - 1].clone()));
    let found = plan(&job("SELECT SUM(x) FROM {e} e"), &catalogues);
    assert_eq!(measure(&found).kind, MeasureKind::Exact { scale: 0 });
    assert_eq!(measure(&found).range.low, i32::MIN.to_string());
    assert_eq!(measure(&found).range.high, u64::MAX.to_string());
    assert!(local(&found, "hospital_1").starts_with("SELECT x AS a0 FROM"));
}

#[test]
fn decimals_meet_at_the_larger_scale() {
    let kinds = [int(32), decimal(10, 2), decimal(12, 4)];
    let catalogues = with_column(|i| column("x", kinds[i - 1].clone()).range("-5", "7.5"));
    let found = plan(&job("SELECT SUM(x), AVG(x) FROM {e} e"), &catalogues);
    assert_eq!(measure(&found).kind, MeasureKind::Exact { scale: 4 });
    assert_eq!(
        (
            measure(&found).range.low.as_str(),
            measure(&found).range.high.as_str()
        ),
        ("-50000", "80000")
    );
    assert!(local(&found, "hospital_1").starts_with("SELECT CAST(x AS DECIMAL(38,4)) AS a0"));
    assert!(local(&found, "hospital_3").starts_with("SELECT x AS a0"));
}

#[test]
fn one_float_makes_all_floats() {
    let kinds = [int(32), decimal(10, 2), ColumnKind::Float];
    let catalogues = with_column(|i| column("x", kinds[i - 1].clone()).range("0", "100"));
    let found = plan(&job("SELECT SUM(x) FROM {e} e"), &catalogues);
    assert_eq!(measure(&found).kind, MeasureKind::Float);
    assert!(local(&found, "hospital_1").starts_with("SELECT CAST(x AS DOUBLE) AS a0"));
    assert!(local(&found, "hospital_3").starts_with("SELECT x AS a0"));
}

#[test]
fn text_is_no_number_and_no_number_is_text() {
    let kinds = [int(32), ColumnKind::Text, int(32)];
    let catalogues = with_column(|i| column("x", kinds[i - 1].clone()));
    assert_eq!(
        faults(&job("SELECT AVG(x) FROM {e} e"), &catalogues),
        [
            "the part of hospital_2: hospital_2.encounters.x is text, the job needs a number; CAST it, aggregate another column, or use COUNT"
        ]
    );
    assert_eq!(
        faults(
            &job("SELECT x, COUNT(*) FROM {e} e GROUP BY x"),
            &catalogues
        ),
        [
            "hospital_2.encounters.x: the group key x is text here and a whole number at hospital_1.encounters.x; CAST one to the type of the other in its branch of the UNION ALL"
        ]
    );
    assert!(
        plan(&job("SELECT COUNT(x) FROM {e} e"), &catalogues).measures[0].kind
            == MeasureKind::Counted
    );
}

#[test]
fn arithmetic_that_could_wrap_is_widened() {
    let found = planned(
        "SELECT SUM(num_lab_procedures * (num_medications + 1) - time_in_hospital) FROM {e} e",
    );
    assert!(
        local(&found, "hospital_1").starts_with("SELECT CAST(num_lab_procedures AS DECIMAL(38,0)) * (CAST(num_medications AS DECIMAL(38,0)) + 1) - CAST(time_in_hospital AS DECIMAL(38,0)) AS a0"),
        "{}",
        found.locals[&party("hospital_1")].sql
    );
    assert_eq!(measure(&found).kind, MeasureKind::Exact { scale: 0 });
    // Cents are not cut off: only whole numbers are widened.
    let money = planned("SELECT SUM(charges + num_lab_procedures * num_lab_procedures) FROM {e} e");
    assert_eq!(measure(&money).kind, MeasureKind::Exact { scale: 2 });
    assert!(
        local(&money, "hospital_1")
            .contains("charges + CAST(num_lab_procedures AS DECIMAL(38,0)) *"),
        "{}",
        local(&money, "hospital_1")
    );
    // What is declared to be small stays as it is.
    let small = planned("SELECT SUM(time_in_hospital * num_medications) FROM {e} e");
    assert!(
        local(&small, "hospital_1").starts_with("SELECT time_in_hospital * num_medications AS a0")
    );
    assert_eq!(measure(&small).range.high, "1400");
    let hidden = "SELECT SUM(y) FROM (SELECT num_lab_procedures * num_lab_procedures AS y FROM hospital_1.encounters UNION ALL SELECT beds FROM hospital_2.wards) x";
    assert_eq!(
        faults(&job(hidden), &hospitals()),
        [
            "hospital_1.encounters.num_lab_procedures: num_lab_procedures * num_lab_procedures can leave its integer type and would wrap around; declare the ranges of its columns in the policy, or CAST them AS DECIMAL(38, 0)"
        ]
    );
}

#[test]
fn conditions_and_functions_keep_bounds() {
    let high = |sql: &str| {
        let plan = planned(sql);
        let range = measure(&plan).range.clone();
        assert_eq!(range.origin, RangeOrigin::Declared, "{sql}");
        (range.low, range.high)
    };
    let pair = |low: &str, high: &str| (low.to_owned(), high.to_owned());
    assert_eq!(
        high("SELECT SUM(CASE WHEN note = 'x' THEN 1 ELSE 0 END) FROM {e} e"),
        pair("0", "1")
    );
    assert_eq!(
        high("SELECT SUM(CASE WHEN emergency THEN num_medications END) FROM {e} e"),
        pair("0", "100")
    );
    assert_eq!(
        high("SELECT SUM(COALESCE(num_medications, -1)) FROM {e} e"),
        pair("-1", "100")
    );
    assert_eq!(
        high("SELECT SUM(-time_in_hospital) FROM {e} e"),
        pair("-14", "-1")
    );
    assert_eq!(
        high("SELECT SUM(charges * 2) FROM {e} e"),
        pair("-2000000", "300000000")
    );
    assert_eq!(
        high("SELECT SUM(CAST(num_medications AS BIGINT) % 7) FROM {e} e"),
        pair("0", "6")
    );
    assert_eq!(
        high("SELECT SUM(num_medications / 10) FROM {e} e"),
        pair("-100", "100")
    );
}

use super::fixture::*;

#[test]
fn show() {
    let text = std::fs::read_to_string("/tmp/queries.txt").unwrap();
    for sql in text.split(";;").map(str::trim).filter(|s| !s.is_empty()) {
        println!("=== {sql}");
        match try_plan(&job(sql), &hospitals()) {
            Ok(plan) => {
                println!("L {}", local(&plan, "hospital_2"));
                println!("F {}", plan.final_sql);
                for (i, k) in plan.keys.iter().enumerate() {
                    println!(
                        "K {} {:?} {:?} other={} [{}]",
                        k.name,
                        k.kind,
                        domain(&plan, i),
                        k.has_other,
                        k.source
                    );
                }
                for m in &plan.measures {
                    println!(
                        "M {} {:?} {:?} {} {:?} {:?}",
                        m.label, m.kind, m.range, m.count, m.sum, m.sum_sq
                    );
                }
                println!(
                    "C {:?}",
                    plan.shape
                        .checks
                        .iter()
                        .map(|c| (&c.rule, &c.reason, c.bound_bits))
                        .collect::<Vec<_>>()
                );
                println!("O {:?}", plan.outputs);
                for w in &plan.warnings {
                    println!("W {w}");
                }
            }
            Err(f) => {
                for f in f {
                    println!("! {f}");
                }
            }
        }
    }
}

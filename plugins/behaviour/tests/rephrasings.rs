//! How often the similarity tells another wording from another question, on
//! pairs that were written by hand.

use assay_plugin_behaviour::Config;
use assay_plugin_behaviour::similarity::Query;

/// The weights and the threshold were chosen on these.
const CHOSEN_ON: &str = include_str!("pairs.tsv");
/// These were written afterwards, and nothing was changed for them.
const HELD_OUT: &str = include_str!("pairs-held-out.tsv");

#[derive(Debug, Default, PartialEq)]
struct Counts {
    right: u32,
    wrong: u32,
    missed: u32,
    pairs: u32,
}

fn measure(table: &str) -> Counts {
    let similarity_min = Config::default().rephrase.similarity_min;
    let mut counts = Counts::default();
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<_> = line.split('\t').collect();
        let [means_the_same, kind, language, first, second] = fields[..] else { panic!("{line}") };
        let (first_query, second_query) = (Query::new(first), Query::new(second));
        assert!(!first_query.is_same(&second_query), "a retry: {line}");
        let similarity = first_query.similarity(&second_query).expect("there are words");
        let turned = second_query.similarity(&first_query).expect("there are words");
        assert!((turned - similarity).abs() < 1e-9, "the order counts: {line}");
        let told = similarity >= similarity_min;
        let means_the_same = match means_the_same {
            "yes" => true,
            "no" => false,
            other => panic!("{other}"),
        };
        if told != means_the_same {
            eprintln!("{similarity:.2} {kind} {language}: {first} | {second}");
        }
        counts.pairs += 1;
        counts.right += u32::from(told && means_the_same);
        counts.wrong += u32::from(told && !means_the_same);
        counts.missed += u32::from(!told && means_the_same);
    }
    let (right, wrong, missed) = (f64::from(counts.right), f64::from(counts.wrong), f64::from(counts.missed));
    eprintln!("precision {:.3}, recall {:.3}, {counts:?}", right / (right + wrong), right / (right + missed));
    counts
}

#[test]
fn the_figures_of_the_readme_are_those_of_the_tables() {
    assert_eq!(measure(CHOSEN_ON), Counts { right: 57, wrong: 0, missed: 39, pairs: 196 });
    assert_eq!(measure(HELD_OUT), Counts { right: 22, wrong: 4, missed: 16, pairs: 81 });
}

#[test]
fn real_queries_of_different_people_are_no_rephrasings() {
    let Some(folder) = std::env::var_os("ASSAY_REAL_DATA") else {
        eprintln!("skipped: ASSAY_REAL_DATA is not set");
        return;
    };
    let path = std::path::Path::new(&folder).join("halueval-general/general_data.json");
    let text = std::fs::read_to_string(path).expect("the data is readable");
    let queries: Vec<_> = text
        .lines()
        .map(|line| {
            let row: serde_json::Value = serde_json::from_str(line).expect("a JSON line");
            Query::new(row["user_query"].as_str().expect("a query"))
        })
        .collect();
    assert_eq!(queries.len(), 4507);
    let similarity_min = Config::default().rephrase.similarity_min;
    let alike = |distance: usize| {
        let pairs = queries.iter().zip(&queries[distance..]);
        pairs.filter(|(one, two)| one.similarity(two).is_some_and(|found| found >= similarity_min)).count()
    };
    let found: usize = (1..=20).map(alike).sum();
    eprintln!("{found} of {} pairs", (1..=20).map(|distance| 4507 - distance).sum::<usize>());
    assert!(found <= 2, "{found}");
}

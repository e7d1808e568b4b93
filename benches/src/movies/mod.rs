//! What is a workload of many joins over correlated columns, where the planner's estimates are far from the truth?
//! 21 tables of films and 68 queries of four to nine tables.
//!
//! Tables and queries are made after the Join Order Benchmark (Leis et al., *How Good Are Query Optimizers, Really?*,
//! VLDB 2015), whose data are a dump of IMDb that cannot be passed on: 17 questions, each with four sets of constants.

use anyhow::Result;
use tokio_postgres::Client;

use crate::workload::Query;

/// Makes the tables.
pub const SCHEMA: &str = include_str!("schema.sql");
/// Adds the primary keys.
pub const KEYS: &str = include_str!("keys.sql");

/// Makes tables and rows; scale 1 are a hundred thousand titles.
///
/// # Errors
/// When the server refuses something.
pub async fn load(client: &Client, scale: f64) -> Result<()> {
    client.batch_execute(&schema(scale)).await?;
    Ok(())
}

/// The schema with numbers in the place of multiples of the scale.
fn schema(scale: f64) -> String {
    const MULTIPLE: &str = ":scale * ";
    let mut parts = SCHEMA.split(MULTIPLE);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        let rows = part[..digits].parse::<f64>().unwrap_or(0.0) * scale;
        text.push_str(&format!("{}{}", rows.round().max(1.0) as i64, &part[digits..]));
    }
    text
}

/// The queries: each question with each of its sets of constants.
pub fn queries() -> Vec<Query> {
    let texts = QUESTIONS.iter().flat_map(|(text, sets)| {
        sets.iter().map(|constants| {
            let filled = constants
                .iter()
                .enumerate()
                .fold((*text).to_owned(), |text, (n, constant)| text.replace(&format!("{{{n}}}"), constant));
            filled.split_whitespace().collect::<Vec<_>>().join(" ")
        })
    });
    texts.zip(1..).map(|(sql, number)| Query { number, sql }).collect()
}

type Question = (&'static str, [&'static [&'static str]; 4]);

const QUESTIONS: [Question; 17] = [
    (
        "SELECT min(mc.note), min(t.title), min(t.production_year) FROM company_type ct, info_type it, movie_companies mc,
         movie_info_idx mi, title t WHERE ct.kind = '{0}' AND it.info = '{1}' AND mc.note NOT LIKE '%(TV)%' AND {2}
         AND ct.id = mc.company_type_id AND t.id = mc.movie_id AND t.id = mi.movie_id AND mc.movie_id = mi.movie_id
         AND it.id = mi.info_type_id",
        [
            &["production companies", "top 250 rank", "mc.note LIKE '%(co-production)%'"],
            &["distributors", "top 250 rank", "t.production_year BETWEEN 2005 AND 2010"],
            &["production companies", "rating", "t.production_year > 2010"],
            &["distributors", "votes", "t.production_year < 1950"],
        ],
    ),
    (
        "SELECT min(t.title) FROM company_name cn, keyword k, movie_companies mc, movie_keyword mk, title t
         WHERE cn.country_code = '{0}' AND k.keyword = '{1}' AND cn.id = mc.company_id AND mc.movie_id = t.id
         AND t.id = mk.movie_id AND mk.keyword_id = k.id AND mc.movie_id = mk.movie_id",
        [
            &["[de]", "character-name-in-title"],
            &["[us]", "character-name-in-title"],
            &["[nl]", "murder"],
            &["[us]", "marvel-cinematic-universe"],
        ],
    ),
    (
        "SELECT min(t.title) FROM keyword k, movie_info mi, movie_keyword mk, title t WHERE k.keyword LIKE '%{0}%'
         AND mi.info IN ({1}) AND t.production_year > {2} AND t.id = mi.movie_id AND t.id = mk.movie_id
         AND mk.movie_id = mi.movie_id AND k.id = mk.keyword_id",
        [
            &["sequel", "'Sweden', 'Norway', 'Germany', 'Denmark', 'Swedish', 'German'", "2005"],
            &["sequel", "'Denmark'", "2010"],
            &["sequel", "'Sweden', 'Norway', 'Germany', 'USA', 'English'", "1990"],
            &["blood", "'USA', 'Horror'", "2000"],
        ],
    ),
    (
        "SELECT min(mi.info), min(t.title) FROM info_type it, keyword k, movie_info_idx mi, movie_keyword mk, title t
         WHERE it.info = 'rating' AND k.keyword LIKE '%{0}%' AND mi.info > '{1}' AND t.production_year > {2}
         AND t.id = mi.movie_id AND t.id = mk.movie_id AND mk.movie_id = mi.movie_id AND k.id = mk.keyword_id
         AND it.id = mi.info_type_id",
        [&["sequel", "5.0", "2005"], &["sequel", "9.0", "2010"], &["word", "2.0", "1990"], &["superhero", "8.0", "2000"]],
    ),
    (
        "SELECT min(t.title) FROM company_type ct, info_type it, movie_companies mc, movie_info mi, title t
         WHERE ct.kind = 'production companies' AND mc.note LIKE '%{0}%' AND mi.info IN ({1}) AND t.production_year > {2}
         AND t.id = mi.movie_id AND t.id = mc.movie_id AND mc.movie_id = mi.movie_id AND ct.id = mc.company_type_id
         AND it.id = mi.info_type_id",
        [
            &["(theatrical)", "'Sweden', 'Norway', 'Germany'", "2005"],
            &["(VHS)", "'USA', 'America'", "2010"],
            &["(worldwide)", "'Drama', 'Horror'", "1990"],
            &["(presents)", "'Japan'", "1980"],
        ],
    ),
    (
        "SELECT min(k.keyword), min(n.name), min(t.title) FROM cast_info ci, keyword k, movie_keyword mk, name n, title t
         WHERE k.keyword {0} AND n.name LIKE '{1}' AND t.production_year > {2} AND k.id = mk.keyword_id AND t.id = mk.movie_id
         AND t.id = ci.movie_id AND ci.movie_id = mk.movie_id AND n.id = ci.person_id",
        [
            &["= 'marvel-cinematic-universe'", "%Robert%", "2010"],
            &["IN ('superhero', 'sequel', 'revenge', 'blood')", "%Tim%", "2014"],
            &["= 'marvel-cinematic-universe'", "%", "2000"],
            &["IN ('superhero', 'sequel')", "Abc%", "1950"],
        ],
    ),
    (
        "SELECT min(n.name), min(t.title) FROM aka_name an, cast_info ci, info_type it, link_type lt, movie_link ml, name n,
         person_info pi, title t WHERE an.name LIKE '%{0}%' AND it.info = 'mini biography' AND lt.link = '{1}' AND n.gender = '{2}'
         AND t.production_year BETWEEN 1980 AND {3} AND n.id = an.person_id AND n.id = pi.person_id AND ci.person_id = n.id
         AND t.id = ci.movie_id AND ml.linked_movie_id = t.id AND lt.id = ml.link_type_id AND it.id = pi.info_type_id",
        [&["a", "features", "m", "1995"], &["b1", "features", "m", "1984"], &["c", "references", "f", "2010"], &["0", "follows", "m", "2013"]],
    ),
    (
        "SELECT min(an.name), min(t.title) FROM aka_name an, cast_info ci, company_name cn, movie_companies mc, name n, role_type rt,
         title t WHERE ci.note = '{0}' AND cn.country_code = '{1}' AND mc.note LIKE '%{2}%' AND n.name LIKE '%{3}%'
         AND rt.role = 'actress' AND an.person_id = n.id AND n.id = ci.person_id AND ci.movie_id = t.id AND t.id = mc.movie_id
         AND mc.company_id = cn.id AND ci.role_id = rt.id AND ci.movie_id = mc.movie_id",
        [
            &["(voice: Japanese version)", "[jp]", "(Japan)", "Yo"],
            &["(voice)", "[us]", "(USA)", "Angela"],
            &["(uncredited)", "[us]", "", "An"],
            &["(voice)", "[gb]", "(2010)", ""],
        ],
    ),
    (
        "SELECT min(an.name), min(chn.name), min(t.title) FROM aka_name an, char_name chn, cast_info ci, company_name cn,
         movie_companies mc, name n, role_type rt, title t WHERE ci.note IN ({0}) AND cn.country_code = '[us]' AND n.gender = 'f'
         AND n.name LIKE '%{1}%' AND rt.role = 'actress' AND t.production_year {2} AND ci.movie_id = t.id AND t.id = mc.movie_id
         AND mc.company_id = cn.id AND ci.role_id = rt.id AND n.id = ci.person_id AND chn.id = ci.person_role_id AND an.person_id = n.id",
        [
            &["'(voice)', '(voice: Japanese version)'", "An", "BETWEEN 2005 AND 2015"],
            &["'(voice)'", "Angela", "BETWEEN 2007 AND 2010"],
            &["'(voice)', '(uncredited)', '(story)'", "", "> 1900"],
            &["'(voice)'", "Zoe", "= 2012"],
        ],
    ),
    (
        "SELECT min(chn.name), min(t.title) FROM char_name chn, cast_info ci, company_name cn, company_type ct, movie_companies mc,
         role_type rt, title t WHERE ci.note LIKE '%{0}%' AND cn.country_code = '{1}' AND rt.role = 'actor' AND t.production_year > {2}
         AND t.id = mc.movie_id AND t.id = ci.movie_id AND ci.movie_id = mc.movie_id AND chn.id = ci.person_role_id
         AND rt.id = ci.role_id AND cn.id = mc.company_id AND ct.id = mc.company_type_id",
        [&["(voice)", "[ru]", "2005"], &["(producer)", "[ru]", "2010"], &["(producer)", "[us]", "1990"], &["(uncredited)", "[se]", "2000"]],
    ),
    (
        "SELECT min(cn.name), min(lt.link), min(t.title) FROM company_name cn, company_type ct, keyword k, link_type lt, movie_companies mc,
         movie_keyword mk, movie_link ml, title t WHERE cn.country_code <> '[pl]' AND {0} AND ct.kind = 'production companies'
         AND k.keyword {1} AND lt.link LIKE '%follow%' AND t.production_year {2} AND lt.id = ml.link_type_id AND ml.movie_id = t.id
         AND t.id = mk.movie_id AND mk.keyword_id = k.id AND t.id = mc.movie_id AND mc.company_type_id = ct.id AND mc.company_id = cn.id",
        [
            &["cn.name LIKE '%Film%'", "= 'sequel'", "BETWEEN 1950 AND 2000"],
            &["cn.name LIKE 'Warner%'", "IN ('sequel', 'revenge', 'based-on-novel')", "> 1950"],
            &["cn.name LIKE '%Pictures'", "= 'revenge'", "= 1998"],
            &["mc.note IS NULL", "LIKE 'word%'", "> 2000"],
        ],
    ),
    (
        "SELECT min(cn.name), min(mx.info), min(t.title) FROM company_name cn, company_type ct, info_type it1, info_type it2,
         movie_companies mc, movie_info mi, movie_info_idx mx, title t WHERE cn.country_code = '[us]' AND ct.kind = '{0}'
         AND it1.info = 'genres' AND it2.info = 'rating' AND mi.info IN ({1}) AND mx.info > '{2}' AND t.production_year BETWEEN {3}
         AND t.id = mi.movie_id AND t.id = mx.movie_id AND mi.info_type_id = it1.id AND mx.info_type_id = it2.id
         AND t.id = mc.movie_id AND ct.id = mc.company_type_id AND cn.id = mc.company_id",
        [
            &["production companies", "'Drama', 'Horror'", "8.0", "2005 AND 2008"],
            &["production companies", "'Drama', 'Horror', 'Western', 'Family'", "7.0", "2000 AND 2010"],
            &["distributors", "'Comedy'", "9.0", "1990 AND 2013"],
            &["distributors", "'Documentary'", "3.0", "1960 AND 1970"],
        ],
    ),
    (
        "SELECT min(mi.info), min(mx.info), min(t.title) FROM info_type it1, info_type it2, keyword k, kind_type kt, movie_info mi,
         movie_info_idx mx, movie_keyword mk, title t WHERE it1.info = 'countries' AND it2.info = 'rating'
         AND k.keyword IN ('murder', 'blood', 'revenge') AND kt.kind = '{0}' AND mi.info IN ({1}) AND mx.info < '{2}'
         AND t.production_year > {3} AND kt.id = t.kind_id AND t.id = mi.movie_id AND t.id = mk.movie_id AND t.id = mx.movie_id
         AND k.id = mk.keyword_id AND it1.id = mi.info_type_id AND it2.id = mx.info_type_id",
        [
            &["movie", "'Sweden', 'Germany', 'USA'", "8.5", "2010"],
            &["movie", "'USA'", "6.0", "2005"],
            &["episode", "'Denmark', 'Norway'", "8.5", "1990"],
            &["tv series", "'USA', 'UK'", "3.0", "2000"],
        ],
    ),
    (
        "SELECT min(mi.info), min(t.title) FROM company_name cn, info_type it, keyword k, movie_companies mc, movie_info mi,
         movie_keyword mk, title t WHERE cn.country_code = '[us]' AND it.info = 'release dates' AND mc.note LIKE '%{0}%'
         AND mi.info LIKE '{1}%' AND t.production_year > {2} AND t.id = mi.movie_id AND t.id = mk.movie_id AND t.id = mc.movie_id
         AND k.id = mk.keyword_id AND it.id = mi.info_type_id AND cn.id = mc.company_id",
        [
            &["(worldwide)", "USA:", "2000"],
            &["(VHS)", "Japan:", "2010"],
            &["(2006)", "USA:1 May", "1990"],
            &["(theatrical)", "Germany:", "2012"],
        ],
    ),
    (
        "SELECT n.id, n.name, count(*) FROM cast_info ci JOIN name n ON n.id = ci.person_id JOIN title t ON t.id = ci.movie_id
         WHERE t.kind_id = {0} AND t.production_year = {1} AND ci.role_id = {2} GROUP BY n.id, n.name ORDER BY 3 DESC, 1 LIMIT 20",
        [&["1", "1999", "1"], &["5", "2012", "2"], &["3", "1985", "8"], &["1", "2011", "4"]],
    ),
    (
        "SELECT t.id, t.title FROM title t WHERE t.production_year BETWEEN {0} AND t.kind_id = {1} AND EXISTS
         (SELECT 1 FROM movie_link ml WHERE ml.movie_id = t.id) AND NOT EXISTS (SELECT 1 FROM complete_cast cc WHERE cc.movie_id = t.id
         AND cc.subject_id = {2}) ORDER BY t.production_year, t.id LIMIT 50",
        [&["1990 AND 1999", "1", "1"], &["2010 AND 2012", "5", "2"], &["1950 AND 1960", "1", "2"], &["2000 AND 2013", "2", "1"]],
    ),
    (
        "SELECT cct.kind, count(*), min(t.title) FROM complete_cast cc, comp_cast_type cct, char_name chn, cast_info ci, keyword k,
         kind_type kt, movie_keyword mk, name n, title t WHERE cct.kind LIKE '%complete%' AND {0} AND k.keyword IN ({1}) AND kt.kind = 'movie'
         AND t.production_year > {2} AND kt.id = t.kind_id AND t.id = mk.movie_id AND t.id = ci.movie_id AND t.id = cc.movie_id
         AND chn.id = ci.person_role_id AND n.id = ci.person_id AND k.id = mk.keyword_id AND cct.id = cc.status_id GROUP BY cct.kind",
        [
            &["chn.name LIKE '%Queen%'", "'superhero', 'sequel', 'marvel-cinematic-universe'", "1950"],
            &["chn.name NOT LIKE '%Queen%'", "'superhero', 'sequel', 'revenge', 'murder'", "2000"],
            &["n.gender = 'f'", "'based-on-novel'", "1980"],
            &["n.name LIKE '%Anna'", "'murder', 'blood'", "1990"],
        ],
    ),
];

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_of_rows_are_whole_at_every_scale() {
        let schema = super::schema(0.001);
        assert!(schema.contains("generate_series(1, 100)") && schema.contains("generate_series(1, 3) n"));
        assert!(!schema.contains(":scale *"));
    }

    #[test]
    fn every_question_is_asked_with_all_its_constants() {
        let queries = super::queries();
        assert_eq!(queries.len(), 68);
        assert!(queries.iter().all(|q| !q.sql.contains('{') && !q.sql.contains(';')));
        let different: std::collections::BTreeSet<&str> = queries.iter().map(|q| q.sql.as_str()).collect();
        assert_eq!(different.len(), 68);
    }
}

-- Films and who made them, in the shape of the tables that the Join Order Benchmark queries: 21 of them, skewed, and
-- with columns that tell something of each other, which a planner's statistics do not know. Everything is computed from
-- a row's number, so it is always the same. :scale is the number of titles in hundred thousands.

-- A number that looks random, from 0 to m - 1.
CREATE FUNCTION pick(n bigint, salt int, m bigint) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT (pg_catalog.hashint8(n * 31 + salt)::bigint + 2147483648) % m $$;
-- The same with small numbers more often: half of all are among the first quarter.
CREATE FUNCTION few(n bigint, salt int, m bigint) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT (pick(n, salt, 1000000) / 1e6 * pick(n, salt + 1, 1000000) / 1e6 * m)::bigint % m $$;

CREATE TABLE kind_type (id int NOT NULL, kind text NOT NULL);
INSERT INTO kind_type SELECT n, (ARRAY['movie', 'tv series', 'tv movie', 'video movie', 'episode', 'video game', 'tv mini series'])[n]
FROM generate_series(1, 7) n;
CREATE TABLE company_type (id int NOT NULL, kind text NOT NULL);
INSERT INTO company_type SELECT n, (ARRAY['distributors', 'production companies', 'special effects companies', 'miscellaneous companies'])[n]
FROM generate_series(1, 4) n;
CREATE TABLE role_type (id int NOT NULL, role text NOT NULL);
INSERT INTO role_type SELECT n, (ARRAY['actor', 'actress', 'producer', 'writer', 'cinematographer', 'composer', 'costume designer', 'director',
    'editor', 'miscellaneous crew', 'production designer', 'guest'])[n] FROM generate_series(1, 12) n;
CREATE TABLE link_type (id int NOT NULL, link text NOT NULL);
INSERT INTO link_type SELECT n, (ARRAY['follows', 'followed by', 'remake of', 'remade as', 'references', 'referenced in', 'spoofs', 'spoofed in',
    'features', 'featured in', 'spin off from', 'spin off', 'version of', 'similar to', 'edited into', 'edited from', 'alternate language version of',
    'unknown link'])[n] FROM generate_series(1, 18) n;
CREATE TABLE comp_cast_type (id int NOT NULL, kind text NOT NULL);
INSERT INTO comp_cast_type SELECT n, (ARRAY['cast', 'crew', 'complete', 'complete+verified'])[n] FROM generate_series(1, 4) n;
CREATE TABLE info_type (id int NOT NULL, info text NOT NULL);
INSERT INTO info_type SELECT n, CASE n WHEN 3 THEN 'genres' WHEN 8 THEN 'countries' WHEN 4 THEN 'languages' WHEN 16 THEN 'release dates' WHEN 1 THEN 'runtimes'
    WHEN 100 THEN 'votes' WHEN 101 THEN 'rating' WHEN 112 THEN 'top 250 rank' WHEN 105 THEN 'budget' WHEN 17 THEN 'trivia' WHEN 19 THEN 'mini biography'
    WHEN 21 THEN 'birth notes' ELSE 'info ' || n END FROM generate_series(1, 113) n;

-- Old films are short of everything; episodes are young.
CREATE TABLE title (id int NOT NULL, title text NOT NULL, kind_id int NOT NULL, production_year int, imdb_index text, episode_nr int, season_nr int, md5sum text);
INSERT INTO title
SELECT n, CASE WHEN n % 900 = 0 THEN 'Champion ' WHEN n % 70 = 0 THEN 'The Money of ' ELSE '' END || initcap(left(md5('t' || n), 8)),
    kind, CASE WHEN n % 25 <> 0 THEN CASE WHEN kind = 5 THEN 2015 - few(n, 3, 40) ELSE 2013 - few(n, 5, 110) END END,
    CASE WHEN n % 60 = 0 THEN 'II' END, CASE WHEN kind = 5 THEN 1 + pick(n, 7, 24) END, CASE WHEN kind = 5 THEN 1 + pick(n, 8, 9) END, md5('title' || n)
FROM (SELECT n, CASE WHEN n % 10 < 5 THEN 5 WHEN n % 10 < 8 THEN 1 ELSE 2 + pick(n, 2, 6) END::int AS kind
      FROM generate_series(1, :scale * 100000) n) t;

-- A third of all companies are American, and those make most of the young films.
CREATE TABLE company_name (id int NOT NULL, name text NOT NULL, country_code text, name_pcode_nf text, md5sum text);
INSERT INTO company_name
SELECT n, CASE WHEN n % 40 = 0 THEN 'Film ' WHEN n % 90 = 1 THEN 'Warner ' ELSE '' END || initcap(left(md5('c' || n), 9)) || CASE WHEN n % 3 = 0 THEN ' Pictures' ELSE '' END,
    CASE WHEN n % 20 <> 0 THEN '[' || CASE WHEN n % 3 = 0 THEN 'us' ELSE (ARRAY['gb', 'de', 'fr', 'jp', 'in', 'it', 'ca', 'es', 'nl', 'se', 'pl', 'ru'])[1 + few(n, 2, 12)] END || ']' END,
    'P' || pick(n, 3, 9000), md5('company' || n)
FROM generate_series(1, :scale * 9000) n;
CREATE TABLE movie_companies (id int NOT NULL, movie_id int NOT NULL, company_id int NOT NULL, company_type_id int NOT NULL, note text);
INSERT INTO movie_companies
SELECT n, movie, CASE WHEN movie % 3 = 0 THEN 3 * (1 + few(n, 4, :scale * 2990)) ELSE 1 + few(n, 6, :scale * 8999) END, 1 + CASE WHEN n % 20 = 0 THEN 2 + n % 40 / 20 ELSE n % 2 END,
    CASE WHEN n % 2 = 0 THEN '(' || (2014 - few(movie, 5, 40)) || ') ' || (ARRAY['(USA)', '(worldwide)', '(Japan)', '(Germany)', '(TV)', '(VHS)', '(DVD)', '(theatrical)'])[1 + pick(n, 8, 8)]
         WHEN n % 7 = 0 THEN '(co-production)' WHEN n % 11 = 0 THEN '(presents)' END
FROM (SELECT n, 1 + few(n, 2, :scale * 100000) AS movie FROM generate_series(1, :scale * 260000) n) c;

CREATE TABLE keyword (id int NOT NULL, keyword text NOT NULL, phonetic_code text);
INSERT INTO keyword SELECT n, CASE n WHEN 7 THEN 'sequel' WHEN 12 THEN 'character-name-in-title' WHEN 20 THEN 'murder' WHEN 33 THEN 'based-on-novel' WHEN 50 THEN 'marvel-cinematic-universe'
    WHEN 61 THEN 'superhero' WHEN 80 THEN 'blood' WHEN 95 THEN 'revenge' ELSE 'word-' || left(md5('k' || n), 8) END, 'K' || pick(n, 2, 4000)
FROM generate_series(1, :scale * 13000) n;
CREATE TABLE movie_keyword (id int NOT NULL, movie_id int NOT NULL, keyword_id int NOT NULL);
INSERT INTO movie_keyword SELECT n, 1 + few(n, 2, :scale * 100000), 1 + few(n, 4, :scale * 13000) * CASE WHEN n % 2 = 0 THEN 1 ELSE few(n, 6, 100) END / 100
FROM generate_series(1, :scale * 450000) n;

-- Genres go with kinds, countries with languages, votes with ratings.
CREATE TABLE movie_info (id int NOT NULL, movie_id int NOT NULL, info_type_id int NOT NULL, info text NOT NULL, note text);
INSERT INTO movie_info
SELECT n, movie, type, CASE type
    WHEN 3 THEN (ARRAY['Drama', 'Comedy', 'Documentary', 'Horror', 'Action', 'Thriller', 'Crime', 'Romance', 'Family', 'Western'])[1 + (few(n, 4, 8) + movie % 10 / 5) % 10]
    WHEN 8 THEN (ARRAY['USA', 'Germany', 'Sweden', 'Denmark', 'Norway', 'Japan', 'France', 'UK', 'India', 'Italy'])[1 + CASE WHEN movie % 3 = 0 THEN 0 ELSE few(movie, 6, 10) END]
    WHEN 4 THEN (ARRAY['English', 'German', 'Swedish', 'Danish', 'Norwegian', 'Japanese', 'French', 'English', 'Hindi', 'Italian'])[1 + CASE WHEN movie % 3 = 0 THEN 0 ELSE few(movie, 6, 10) END]
    WHEN 16 THEN (ARRAY['USA', 'Japan', 'Germany', 'France', 'UK', 'Spain'])[1 + few(n, 8, 6)] || ':' || 1 + pick(n, 9, 28) || ' ' || (ARRAY['January', 'May', 'July', 'October'])[1 + pick(n, 10, 4)] || ' ' || (2015 - few(movie, 5, 50))
    WHEN 105 THEN '$' || pick(n, 11, 90000) || ',000' WHEN 1 THEN (20 + pick(n, 12, 160))::text ELSE 'info ' || left(md5('i' || n), 12) END,
    CASE WHEN n % 4 = 0 THEN '(' || (ARRAY['internet', 'premiere', 'festival', 'limited'])[1 + pick(n, 13, 4)] || ')' END
FROM (SELECT n, 1 + few(n, 2, :scale * 100000) AS movie, (ARRAY[3, 8, 4, 16, 16, 1, 105, 17, 2, 5, 6, 7, 9, 10, 11, 12])[1 + few(n, 14, 16)] AS type
      FROM generate_series(1, :scale * 900000) n) i;
CREATE TABLE movie_info_idx (id int NOT NULL, movie_id int NOT NULL, info_type_id int NOT NULL, info text NOT NULL, note text);
INSERT INTO movie_info_idx
SELECT n, 1 + n / 3 * 2, type, CASE type WHEN 101 THEN round(2 + (pick(n / 3, 2, 75)) / 10.0, 1)::text WHEN 100 THEN (5 + few(n, 4, 200000))::text ELSE (1 + pick(n, 5, 250))::text END, NULL
FROM (SELECT n, CASE WHEN n % 400 = 0 THEN 112 ELSE 99 + n % 3 END AS type FROM generate_series(1, :scale * 140000) n) i;

CREATE TABLE name (id int NOT NULL, name text NOT NULL, gender text, name_pcode_cf text, md5sum text);
INSERT INTO name SELECT n, initcap(left(md5('n' || n), 7)) || ', ' || (ARRAY['Tim', 'Angela', 'Bert', 'Anna', 'Xavier', 'Zoe', 'Robert', 'Kate', 'Bob', 'Yo'])[1 + pick(n, 2, 10)],
    CASE WHEN n % 7 <> 0 THEN CASE WHEN n % 3 = 0 THEN 'f' ELSE 'm' END END, chr(65 + pick(n, 3, 26)::int) || pick(n, 4, 999), md5('name' || n)
FROM generate_series(1, :scale * 160000) n;
CREATE TABLE aka_name (id int NOT NULL, person_id int NOT NULL, name text NOT NULL);
INSERT INTO aka_name SELECT n, 1 + few(n, 2, :scale * 160000), initcap(left(md5('a' || n), 9)) FROM generate_series(1, :scale * 45000) n;
CREATE TABLE person_info (id int NOT NULL, person_id int NOT NULL, info_type_id int NOT NULL, info text NOT NULL, note text);
INSERT INTO person_info SELECT n, 1 + few(n, 2, :scale * 160000), (ARRAY[19, 21, 22, 23, 25, 28, 32, 37])[1 + few(n, 4, 8)], 'person ' || md5('p' || n), CASE WHEN n % 50 = 0 THEN 'Volker Boehm' END
FROM generate_series(1, :scale * 200000) n;
CREATE TABLE char_name (id int NOT NULL, name text NOT NULL);
INSERT INTO char_name SELECT n, CASE WHEN n % 300 = 0 THEN 'Queen ' ELSE '' END || initcap(left(md5('h' || n), 8)) FROM generate_series(1, :scale * 120000) n;
-- Actresses are women, and who has many roles has them in films with many roles.
CREATE TABLE cast_info (id int NOT NULL, person_id int NOT NULL, movie_id int NOT NULL, person_role_id int, note text, nr_order int, role_id int NOT NULL);
INSERT INTO cast_info
SELECT n, person, 1 + few(n, 4, :scale * 100000), CASE WHEN n % 2 = 0 THEN 1 + few(n, 6, :scale * 120000) END,
    CASE WHEN n % 5 = 0 THEN (ARRAY['(voice)', '(voice: Japanese version)', '(uncredited)', '(producer)', '(executive producer)', '(writer)', '(head writer)', '(story)'])[1 + few(n, 8, 8)] END,
    CASE WHEN n % 3 = 0 THEN 1 + pick(n, 9, 40) END, CASE WHEN n % 5 < 3 THEN CASE WHEN person % 3 = 0 THEN 2 ELSE 1 END ELSE 3 + few(n, 10, 9) END
FROM (SELECT n, 1 + few(n, 2, :scale * 160000) AS person FROM generate_series(1, :scale * 1500000) n) c;

CREATE TABLE movie_link (id int NOT NULL, movie_id int NOT NULL, linked_movie_id int NOT NULL, link_type_id int NOT NULL);
INSERT INTO movie_link SELECT n, 1 + few(n, 2, :scale * 100000), 1 + few(n, 4, :scale * 100000), 1 + few(n, 6, 18) FROM generate_series(1, :scale * 3000) n;
CREATE TABLE complete_cast (id int NOT NULL, movie_id int NOT NULL, subject_id int NOT NULL, status_id int NOT NULL);
INSERT INTO complete_cast SELECT n, 1 + few(n, 2, :scale * 100000), 1 + n % 2, 3 + pick(n, 4, 10) / 8 FROM generate_series(1, :scale * 13000) n;
CREATE TABLE aka_title (id int NOT NULL, movie_id int NOT NULL, title text NOT NULL, kind_id int NOT NULL, production_year int);
INSERT INTO aka_title SELECT n, 1 + few(n, 2, :scale * 100000), initcap(left(md5('q' || n), 10)), 1 + few(n, 4, 7), 2013 - few(n, 5, 90) FROM generate_series(1, :scale * 36000) n;

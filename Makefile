# make demo   a real PostgreSQL with an ML model registry, from slow to fast and proven
# make test   everything that the tests need, and the tests
# make bench-convert   a table that is written to becomes a partitioned one, beside INSERT … SELECT without writers
# make bench-default-rows  what writers notice while rows are moved out of DEFAULT, beside pg_partman
# make bench-advisor   index advice for TPC-H, built, planned and run, beside other advisors
# make bench-logs      reading logs, beside pgBadger (Debian packages pgbadger and time)
# make bench-rewrites  whether a recommended rewrite is ever slower than what was written
# make bench-check  whether a check of unchanged statements ever cries wolf, with every core busy
# make bench-percentiles  percentiles of samples beside what clients measured
# make bench-web       how long each page of serve takes
# make pictures    the pictures of the web page's guide (Debian package chromium)
# make bench-exporter  what a scrape costs, beside postgres_exporter (Debian package prometheus-postgres-exporter)

.DEFAULT_GOAL := help
.PHONY: pictures bench-default-rows bench-check help demo test bench-advisor bench-convert bench-logs bench-rewrites bench-percentiles bench-exporter bench-web lint clean

DEMO_FLAGS ?=
BENCH_FLAGS ?=

help:
	@sed -n 's/^# make /make /p' Makefile

demo:
	@scripts/setup.sh demo
	cargo build --release -p pgwright
	target/release/pgwright demo $(DEMO_FLAGS)

test:
	@scripts/setup.sh test
	@if cargo nextest --version >/dev/null 2>&1; then \
		cargo nextest run --workspace --no-fail-fast; \
	else \
		cargo test --workspace --no-fail-fast; \
	fi

bench-advisor:
	@scripts/setup.sh demo
	cargo build --release -p pgwright-benches
	@target/release/pgwright-benches advisor $(BENCH_FLAGS)

bench-logs:
	@scripts/setup.sh demo
	cargo build --release -p pgwright -p pgwright-benches
	@target/release/pgwright-benches logs $(BENCH_FLAGS)

bench-rewrites:
	@scripts/setup.sh demo
	cargo build --release -p pgwright -p pgwright-benches
	@target/release/pgwright-benches rewrites $(BENCH_FLAGS)

bench-check:
	@scripts/setup.sh demo
	cargo build --release -p pgwright -p pgwright-benches
	@target/release/pgwright-benches check $(BENCH_FLAGS)

bench-convert:
	@scripts/setup.sh demo
	cargo build --release -p pgwright-benches
	@target/release/pgwright-benches convert $(BENCH_FLAGS)

bench-default-rows:
	@scripts/setup.sh demo
	cargo build --release -p pgwright-benches
	@target/release/pgwright-benches default-rows $(BENCH_FLAGS)

bench-percentiles:
	@scripts/setup.sh demo
	cargo build --release -p pgwright -p pgwright-benches
	@target/release/pgwright-benches percentiles $(BENCH_FLAGS)

bench-web:
	@scripts/setup.sh demo
	cargo build --release -p pgwright -p pgwright-benches
	@target/release/pgwright-benches web $(BENCH_FLAGS)

pictures:
	@scripts/setup.sh demo
	cargo build --release -p pgwright -p pgwright-benches
	@target/release/pgwright-benches pictures

bench-exporter:
	@scripts/setup.sh demo
	cargo build --release -p pgwright -p pgwright-benches
	@target/release/pgwright-benches exporter $(BENCH_FLAGS)

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo xtask tidy

clean:
	cargo clean

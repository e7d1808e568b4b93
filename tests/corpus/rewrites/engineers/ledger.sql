-- A ledger of several books: composite keys, amounts with and without scale, padded codes, policies per book.
CREATE TABLE books (id integer PRIMARY KEY, title varchar(20) NOT NULL, currency character(3) NOT NULL, opened_on date NOT NULL, parent integer REFERENCES books (id));
CREATE TABLE accounts (
    book integer NOT NULL REFERENCES books (id),
    number integer NOT NULL,
    kind text NOT NULL CHECK (kind IN ('asset', 'debt', 'income', 'cost')),
    owner text,
    closed_on date,
    credit_limit numeric(12,2),
    rate double precision,
    PRIMARY KEY (book, number)
);
CREATE TABLE entries (
    id bigint PRIMARY KEY,
    book integer NOT NULL,
    account integer NOT NULL,
    amount numeric NOT NULL,
    fee numeric(10,2),
    posted timestamptz NOT NULL,
    valued date,
    memo text,
    reversed_by bigint REFERENCES entries (id),
    FOREIGN KEY (book, account) REFERENCES accounts (book, number)
);
CREATE TABLE rates (currency character(3) NOT NULL, day date NOT NULL, rate numeric(14,6) NOT NULL CHECK (rate > 0), PRIMARY KEY (currency, day));
CREATE TABLE budgets (book integer NOT NULL, number integer NOT NULL, year integer NOT NULL, amount numeric NOT NULL, UNIQUE (book, number, year));
CREATE TABLE notes (id integer PRIMARY KEY, entry_id bigint NOT NULL REFERENCES entries (id), body text, secret boolean NOT NULL DEFAULT false);
ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY open_notes ON notes USING (NOT secret);
CREATE TABLE vaults (id integer PRIMARY KEY, book integer NOT NULL REFERENCES books (id), level integer NOT NULL);
ALTER TABLE vaults ENABLE ROW LEVEL SECURITY;
CREATE POLICY low ON vaults FOR SELECT USING (level < 3);
CREATE TABLE doors (id integer PRIMARY KEY, vault_id integer NOT NULL REFERENCES vaults (id), name text);
CREATE VIEW open_accounts AS SELECT book, number, kind, owner FROM accounts WHERE closed_on IS NULL;

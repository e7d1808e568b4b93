-- A freight company: shipments of clients between hubs, with parcels, scans, invoices and payments.
CREATE TYPE shipment_state AS ENUM ('booked', 'loaded', 'in_transit', 'delivered', 'lost');
CREATE TABLE countries (code text PRIMARY KEY, name text NOT NULL);
CREATE TABLE hubs (
    id integer PRIMARY KEY,
    code text NOT NULL UNIQUE,
    city text NOT NULL,
    country text NOT NULL REFERENCES countries (code),
    opened date
);
CREATE TABLE carriers (
    id integer PRIMARY KEY,
    name text NOT NULL,
    tax_no text UNIQUE,
    blocked boolean NOT NULL DEFAULT false,
    rating numeric(3, 1),
    home_hub_id integer REFERENCES hubs (id)
);
CREATE TABLE clients (
    id bigint PRIMARY KEY,
    email text NOT NULL UNIQUE,
    name text NOT NULL,
    vip boolean,
    referred_by bigint REFERENCES clients (id),
    credit numeric(12, 2),
    joined_at timestamptz NOT NULL
);
CREATE TABLE shipments (
    id bigint PRIMARY KEY,
    ref text NOT NULL UNIQUE,
    client_id bigint NOT NULL REFERENCES clients (id),
    carrier_id integer REFERENCES carriers (id),
    origin_id integer NOT NULL REFERENCES hubs (id),
    dest_id integer NOT NULL REFERENCES hubs (id),
    state shipment_state NOT NULL,
    booked_at timestamptz NOT NULL,
    delivered_at timestamptz,
    pickup timestamp,
    weight numeric(10, 2) NOT NULL CHECK (weight > 0),
    price numeric(12, 2),
    meta jsonb NOT NULL DEFAULT '{}',
    note text
);
CREATE TABLE parcels (
    shipment_id bigint NOT NULL REFERENCES shipments (id),
    no integer NOT NULL,
    kind text NOT NULL CHECK (kind IN ('box', 'pallet', 'tube')),
    kg numeric(8, 2) NOT NULL,
    fragile boolean,
    PRIMARY KEY (shipment_id, no)
);
CREATE TABLE scans (
    id bigint PRIMARY KEY,
    shipment_id bigint NOT NULL REFERENCES shipments (id),
    hub_id integer NOT NULL REFERENCES hubs (id),
    scanned_at timestamptz NOT NULL,
    operator text,
    code smallint
);
CREATE TABLE invoices (
    id bigint PRIMARY KEY,
    shipment_id bigint NOT NULL UNIQUE REFERENCES shipments (id),
    issued date NOT NULL,
    due date NOT NULL,
    paid_at timestamptz,
    amount numeric(12, 2) NOT NULL,
    currency text NOT NULL
);
CREATE TABLE payments (
    id bigint PRIMARY KEY,
    invoice_id bigint REFERENCES invoices (id),
    amount numeric(12, 2) NOT NULL,
    method text,
    received date NOT NULL
);
CREATE TABLE tariffs (
    carrier_id integer NOT NULL REFERENCES carriers (id),
    zone integer NOT NULL,
    valid_from date NOT NULL,
    price numeric(12, 2) NOT NULL,
    PRIMARY KEY (carrier_id, zone, valid_from)
);
CREATE TABLE blacklist (email text, tax_no text, reason text NOT NULL);

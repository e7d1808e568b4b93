-- A railway: trips with stops in order, bookings of seats, prices that change, delays with zones.
CREATE TABLE stations (
    code character(4) PRIMARY KEY,
    name text NOT NULL,
    zone text,
    lat double precision
);
CREATE TABLE lines (id integer PRIMARY KEY, name text NOT NULL UNIQUE, opened date, closed date);
CREATE TABLE trips (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    line_id integer NOT NULL REFERENCES lines (id),
    leaves timestamptz NOT NULL,
    arrives timestamptz,
    cancelled boolean,
    seats integer NOT NULL CHECK (seats > 0),
    note text
);
CREATE TABLE stops (
    trip_id bigint NOT NULL REFERENCES trips (id),
    place smallint NOT NULL,
    station character(4) NOT NULL REFERENCES stations (code),
    at timestamptz,
    delay interval,
    PRIMARY KEY (trip_id, place)
);
CREATE TABLE bookings (
    id bigint PRIMARY KEY,
    trip_id bigint REFERENCES trips (id),
    passenger text,
    seat integer,
    price numeric NOT NULL,
    discount numeric(8,2),
    booked_at timestamptz NOT NULL,
    day date NOT NULL,
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'paid', 'void')),
    extras jsonb,
    tags text[]
);
CREATE TABLE refunds (booking_id bigint PRIMARY KEY REFERENCES bookings (id), amount numeric NOT NULL, reason text);
CREATE TABLE closures (line_id integer REFERENCES lines (id), day date);

-- A shop: what most applications have. Names are unqualified as in migrations that people write.
CREATE TABLE customers (
    id integer PRIMARY KEY,
    email text UNIQUE,
    name text NOT NULL,
    country character(2),
    balance numeric(12,2) NOT NULL DEFAULT 0,
    referred_by integer REFERENCES customers (id)
);
CREATE TABLE products (
    id integer PRIMARY KEY,
    sku character(8) NOT NULL UNIQUE,
    title text NOT NULL,
    price numeric(10,2) NOT NULL CHECK (price >= 0),
    category text,
    weight real,
    tags text[] NOT NULL DEFAULT '{}',
    attributes jsonb
);
CREATE TABLE orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id integer NOT NULL REFERENCES customers (id),
    status text NOT NULL DEFAULT 'new' CHECK (status IN ('new', 'paid', 'shipped', 'cancelled')),
    placed_at timestamptz NOT NULL,
    shipped_at timestamptz,
    discount integer,
    coupon text,
    CHECK (shipped_at IS NULL OR shipped_at >= placed_at)
);
CREATE TABLE order_items (
    order_id bigint NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
    line_number integer NOT NULL,
    product_id integer NOT NULL REFERENCES products (id),
    quantity integer NOT NULL CHECK (quantity > 0),
    unit_price numeric(10,2) NOT NULL,
    PRIMARY KEY (order_id, line_number)
);
CREATE TABLE reviews (
    id integer PRIMARY KEY,
    product_id integer REFERENCES products (id),
    author text,
    rating integer CHECK (rating BETWEEN 1 AND 5),
    body text NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE TABLE newsletter (email text NOT NULL, topic text NOT NULL, since date);
CREATE INDEX orders_customer_idx ON orders (customer_id, placed_at DESC);
CREATE INDEX reviews_product_idx ON reviews (product_id, created_at DESC);
CREATE VIEW paid_orders AS SELECT id, customer_id, placed_at FROM orders WHERE status IN ('paid', 'shipped');
CREATE VIEW customer_totals AS
    SELECT o.customer_id, count(*) AS orders, max(o.placed_at) AS last_order
    FROM orders o GROUP BY o.customer_id;

-- A support desk: tickets with messages and labels, agents in teams with shifts, ratings once per ticket.
CREATE TABLE teams (id integer PRIMARY KEY, name text NOT NULL UNIQUE, region text, parent_id integer REFERENCES teams (id));
CREATE TABLE agents (
    id integer PRIMARY KEY,
    team_id integer REFERENCES teams (id),
    email text NOT NULL UNIQUE,
    active boolean NOT NULL DEFAULT true,
    hired date NOT NULL,
    left_on date
);
CREATE TABLE customers (
    id bigint PRIMARY KEY,
    name text NOT NULL,
    plan text NOT NULL CHECK (plan IN ('free', 'pro', 'enterprise')),
    created_at timestamptz NOT NULL,
    churned_at timestamptz
);
CREATE TABLE tickets (
    id bigint PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES customers (id),
    assignee_id integer REFERENCES agents (id),
    status text NOT NULL CHECK (status IN ('open', 'pending', 'closed')),
    priority smallint,
    opened_at timestamptz NOT NULL,
    closed_at timestamptz,
    due date,
    subject text NOT NULL
);
CREATE TABLE messages (
    id bigint PRIMARY KEY,
    ticket_id bigint NOT NULL REFERENCES tickets (id),
    author_id integer REFERENCES agents (id),
    sent_at timestamptz NOT NULL,
    body text,
    internal boolean NOT NULL DEFAULT false,
    words integer
);
CREATE TABLE labels (id integer PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE ticket_labels (
    ticket_id bigint NOT NULL REFERENCES tickets (id),
    label_id integer NOT NULL REFERENCES labels (id),
    PRIMARY KEY (ticket_id, label_id)
);
CREATE TABLE ratings (
    ticket_id bigint PRIMARY KEY REFERENCES tickets (id),
    stars integer NOT NULL CHECK (stars BETWEEN 1 AND 5),
    rated_at timestamp NOT NULL,
    comment text
);
CREATE TABLE shifts (
    agent_id integer NOT NULL REFERENCES agents (id),
    day date NOT NULL,
    hours integer NOT NULL,
    note text,
    PRIMARY KEY (agent_id, day)
);

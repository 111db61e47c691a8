-- Times are milliseconds since 1970; digests are 32 bytes; request, result and data are JSON.
CREATE TABLE jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, -- order of acceptance, never used again
    id TEXT NOT NULL UNIQUE,
    tenant TEXT NOT NULL,
    key TEXT,
    digest BLOB NOT NULL,
    request TEXT NOT NULL,
    webhook TEXT,
    content BLOB,
    weight INTEGER NOT NULL, -- 0 once it does not count any more
    priority INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN
        ('queued', 'running', 'retry_wait', 'cancelling', 'succeeded', 'failed', 'cancelled')),
    attempts INTEGER NOT NULL DEFAULT 0,
    max_attempts INTEGER NOT NULL,
    fence INTEGER NOT NULL DEFAULT 0,
    worker TEXT,
    server TEXT NOT NULL DEFAULT '', -- whose worker; for databases that several servers share
    due INTEGER,
    lease INTEGER,
    created INTEGER NOT NULL,
    started INTEGER,
    finished INTEGER,
    last_event INTEGER NOT NULL DEFAULT 0,
    result TEXT,
    code TEXT,
    message TEXT,
    expired INTEGER NOT NULL DEFAULT 0,
    reused TEXT,
    CHECK ((state IN ('running', 'cancelling')) = (lease IS NOT NULL)),
    CHECK ((state IN ('succeeded', 'failed', 'cancelled')) = (finished IS NOT NULL)),
    CHECK ((state = 'retry_wait') = (due IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX jobs_key ON jobs (tenant, key) WHERE key IS NOT NULL;
CREATE INDEX jobs_waiting ON jobs (priority DESC, seq) WHERE state IN ('queued', 'retry_wait');
CREATE INDEX jobs_held ON jobs (lease) WHERE state IN ('running', 'cancelling');
CREATE INDEX jobs_kept ON jobs (finished) WHERE finished IS NOT NULL AND expired = 0;
CREATE INDEX jobs_expired ON jobs (finished) WHERE expired = 1;
CREATE INDEX jobs_state ON jobs (state, seq);
CREATE INDEX jobs_tenant ON jobs (tenant, seq);
CREATE INDEX jobs_tenant_state ON jobs (tenant, state, seq);
CREATE INDEX jobs_content ON jobs (tenant, content, seq)
    WHERE content IS NOT NULL AND state = 'succeeded' AND expired = 0;
CREATE INDEX jobs_weight ON jobs (tenant, created, weight) WHERE weight > 0;

-- What a job refers to: its input (result = 0) and its result (1).
CREATE TABLE blobs (
    digest BLOB NOT NULL,
    job INTEGER NOT NULL REFERENCES jobs (seq) ON DELETE CASCADE,
    result INTEGER NOT NULL,
    PRIMARY KEY (digest, job, result)
) STRICT, WITHOUT ROWID;
CREATE INDEX blobs_job ON blobs (job);

-- Every claim and how it ended; `ending` is a code, null while it runs.
CREATE TABLE attempts (
    job INTEGER NOT NULL REFERENCES jobs (seq) ON DELETE CASCADE,
    fence INTEGER NOT NULL,
    worker TEXT NOT NULL,
    started INTEGER NOT NULL,
    ended INTEGER,
    ending TEXT,
    PRIMARY KEY (job, fence)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    job INTEGER NOT NULL REFERENCES jobs (seq) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (job, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE outbox (
    id TEXT PRIMARY KEY,
    job INTEGER NOT NULL REFERENCES jobs (seq) ON DELETE CASCADE,
    webhook TEXT NOT NULL,
    due INTEGER NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX outbox_due ON outbox (due);
CREATE INDEX outbox_job ON outbox (job);

CREATE TABLE tenants (
    tenant TEXT PRIMARY KEY,
    queued INTEGER NOT NULL,
    running INTEGER NOT NULL,
    weight INTEGER NOT NULL -- in 24 hours
) STRICT, WITHOUT ROWID;

-- One row that a readiness check writes.
CREATE TABLE pulse (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    at INTEGER NOT NULL
) STRICT;

//! vaccel-agent and vaccel-worker

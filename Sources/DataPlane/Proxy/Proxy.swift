// Proxy: the data plane of one process: workers that carry requests from listeners (Downstream/) through filters, routes
// and retries (Exchange/) to endpoints (Upstream/), by a configuration that was compiled for them (Snapshot/). It is one
// target because its parts meet on every request, and a border between targets would cost each of them instructions.
// It reads no files and knows no discovery: whoever owns a `ProxyServer` hands it one configuration after the other.

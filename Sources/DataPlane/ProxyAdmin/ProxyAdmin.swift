// ProxyAdmin: what one proxy shows of itself, and the few orders that it takes, over HTTP/1.1 on the control thread:
// readiness, statistics, clusters, listeners, certificates, the configuration in force, the flight recorder. The server
// is small and bounded, and knows nothing of the pages; the pages read what others keep and own nothing. Requests of
// the data plane never come here, so a slow scrape cannot delay one.

// ProxyAdminTests: the admin server and its pages over loopback sockets on one loop, without workers and without
// waiting for time; and of `martlet-proxy` what can be tried without a process: its command line, and endpoints' names.

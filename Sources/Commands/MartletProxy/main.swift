// MartletProxy: `martlet-proxy`, the sidecar. Reads the command line and the bootstrap, puts the parts together, and
// runs the control thread, which is this one: signals, admin pages, discovery, logs. The workers have threads of their
// own. Exit status: 0 fine, 1 failed while running, 2 bad usage or bad configuration.

import Glibc

exit(ProxyRun.main(Array(CommandLine.arguments.dropFirst())))

// Reactor: what stands between us and Linux. The `Kernel` seam and its Linux side, the event loop of one thread, its
// timers, and the few things that a process needs of its machine: signals, threads, processors, small files. It knows
// no protocol and keeps no connections: who owns a socket gives it a token, and finds the token in the events.

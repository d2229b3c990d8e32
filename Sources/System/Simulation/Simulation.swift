// Simulation: a network of virtual hosts on a virtual clock, in one thread and from one seed. Each host has a `Kernel`
// that behaves as Linux's does: edge-triggered readiness, half-closed connections, resets, full buffers. What a test
// or `martlet what-if` runs on it is the code that runs on the machine; what goes wrong does so again from its seed.

// QuotaClient: tells quota services what the process has used of mesh-wide limits, and takes the shares that they assign.
// Runs on the control loop; who is let through is decided by the workers, on the buckets' atomic words.

// XDSClient: what a proxy says to its control plane, and hears from it, on the loop of the control thread: connections
// (`ClientConnection`), gRPC over them, the discovery stream (`DiscoveryClient`), and in the mesh the workload's
// certificate and the short bootstrap (`MeshClient`). It hands out whole configurations; what becomes of them is the
// business of others. All of it is confined to the thread of its `ControlLoop`, which admin and signals share.

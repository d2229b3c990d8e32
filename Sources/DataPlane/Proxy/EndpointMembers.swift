import MeshModel
import TLSEngine
import Telemetry
import TrafficPolicy

/// The endpoints in force, for those who check them. Called from the control thread only.
extension ProxyServer {
    public struct ClusterMembers {
        public var cluster: Cluster
        public var set: EndpointSet
        public var scope: ClusterScope
        public var endpoints: [Member]
    }

    public struct Member {
        public var endpoint: Endpoint
        public var state: EndpointState
        /// nil: plain text.
        public var tls: TLSContext?
        public var serverName: String
        public var locality: LocalityName
    }

    /// Of the clusters that are wanted, in the configuration's order.
    public func members(of isWanted: (Cluster) -> Bool) -> [ClusterMembers] {
        guard let snapshot else { return [] }
        return snapshot.configuration.clusters.indices.compactMap { index in
            let cluster = snapshot.configuration.clusters[index]
            guard isWanted(cluster) else { return nil }
            let (targets, records) = (snapshot.targets[index], snapshot.clusters[index].endpoints)
            let endpoints = cluster.localities.flatMap(\.endpoints).filter { endpoint in
                if case .numeric = endpoint.address { true } else { false }
            }
            return ClusterMembers(
                cluster: cluster, set: targets.set, scope: snapshot.clusterStates[index].scope,
                endpoints: zip(endpoints, records.indices).map { endpoint, member in
                    let tls = records[member].tls
                    return Member(
                        endpoint: endpoint, state: targets.set[member],
                        tls: tls >= 0 ? snapshot.tlsContexts[Int(tls)] : nil,
                        serverName: records[member].sni.text,
                        locality: targets.set.localities[targets.set.members[member].locality].name)
                })
        }
    }

    /// Counts for the control thread.
    public var controlCounters: CounterWriter { process.counters[process.counters.count - 1].writer }

    /// The cluster has ever had a connection.
    public func hasTraffic(_ scope: ClusterScope) -> Bool {
        process.counters.contains { $0.value(scope, .upstreamCxTotal) > 0 }
    }

    /// A health check of the endpoint has passed: outlier detection may take it back.
    public func checkPassed(_ state: EndpointState, in cluster: String) {
        guard let snapshot, let kept = snapshot.clusterStates.first(where: { $0.name == cluster }),
            let event = kept.endpoints.checkPassed(state, at: kernel.now())
        else { return }
        OutlierReport.add(event, cluster, kept.scope, controlCounters, process.log)
    }
}

import MeshModel
import MeshPrimitives
import TrafficPolicy

/// Endpoints of clusters, compiled: who is chosen among, and how.
extension SnapshotCompiler {
    /// What the previous configuration had, and what is known of the proxy's own cluster.
    mutating func lookBack(_ configuration: Configuration) {
        for (index, cluster) in (previous?.configuration.clusters ?? []).enumerated() {
            previousClusters[cluster.name] = index
        }
        ownLocality = configuration.locality
        guard !configuration.localCluster.isEmpty,
            let local = configuration.clusters.first(where: { $0.name == configuration.localCluster })
        else { return }
        // Its endpoints' health as of the previous configuration, as far as that had them.
        let known = previousClusters[local.name].flatMap { previous?.targets[$0] }
        var healths: [SocketAddress: EndpointHealth] = [:]
        for member in known?.set.members ?? [] { healths[member.state.address] = member.state.health }
        for locality in local.localities {
            var zone = ZoneAwareSettings.LocalZone(locality.name, all: 0, healthy: 0)
            for endpoint in locality.endpoints {
                guard case .numeric(let address) = endpoint.address else { continue }
                zone.all += 1
                switch healths[address] ?? EndpointMarks(endpoint.health).health {
                case .healthy: zone.healthy += 1
                case .degraded: zone.degraded += 1
                case .unhealthy: break
                }
            }
            localZones.append(zone)
        }
    }

    mutating func compileEndpoints(_ cluster: Cluster, _ shared: ProcessCluster, _ place: String)
        throws(CompileError) -> [EndpointRecord]
    {
        var endpoints: [EndpointRecord] = []
        var members: [EndpointSet.Member] = []
        var kept: [ClusterEndpoints.Kept] = []
        var metadata: [[String: MetadataValue]] = []
        let (localities, transports) = (cluster.localities, cluster.transportMatches)
        let balancing = cluster.balancing
        for (index, locality) in localities.enumerated() {
            for endpoint in locality.endpoints {
                guard case .numeric(let address) = endpoint.address else { continue }
                let match = transports.first { match in
                    match.labels.allSatisfy { endpoint.transportLabels[$0.key] == $0.value }
                }
                let tls = match.map(\.tls) ?? cluster.tls
                let context =
                    try tls.map { tls throws(CompileError) in try upstreamContext(tls, cluster, place) } ?? -1
                endpoints.append(
                    EndpointRecord(
                        address: address, hostname: arena.store(text: endpoint.hostname),
                        weight: endpoint.weight, priority: locality.priority, tls: context,
                        sni: arena.store(text: tls?.sni ?? ""), text: arena.store(text: address.description)))
                let known = shared.endpoints.endpoint(
                    ClusterEndpoints.Key(address, transport: match?.name ?? "", isTLS: context >= 0),
                    marks: EndpointMarks(endpoint.health), newMarks: uncheckedMarks(endpoint, cluster),
                    at: now)
                kept.append(known)
                members.append(
                    EndpointSet.Member(
                        known.state, weight: max(endpoint.weight, 1), priority: locality.priority,
                        locality: index, isCanary: endpoint.metadata["canary"] == .bool(true),
                        hashKey: hashKey(endpoint, balancing), metadata: endpoint.metadata))
                metadata.append(endpoint.metadata)
            }
        }
        objects.targets.append(targets(cluster, shared, members, kept, metadata))
        return endpoints
    }

    /// Of an endpoint whose first check has not come back.
    private func uncheckedMarks(_ endpoint: Endpoint, _ cluster: Cluster) -> EndpointMarks {
        guard let check = cluster.healthCheck, !endpoint.check.isDisabled else { return [] }
        let marks = HealthCheckState(check.settings).marks
        return check.mode == .enforce ? marks : marks.inShadow
    }

    mutating func originalDestination(_ cluster: Cluster, _ place: String) throws(CompileError)
        -> OriginalDestinationRecord
    {
        var record = OriginalDestinationRecord()
        guard cluster.discovery == .originalDestination else { return record }
        let settings = cluster.originalDestination
        record.isUsed = true
        record.header = arena.store(text: settings.headerName ?? "")
        record.port = settings.portOverride
        record.cleanupInterval = settings.cleanupInterval.nanoseconds
        if let tls = cluster.tls {
            record.tls = try upstreamContext(tls, cluster, place)
            record.sni = arena.store(text: tls.sni)
        }
        return record
    }

    private func hashKey(_ endpoint: Endpoint, _ balancing: ClusterBalancing) -> String? {
        guard balancing.hashing != nil else { return nil }
        if case .string(let key) = endpoint.metadata["hash_key"], !key.isEmpty { return key }
        return balancing.hashesHostnames && !endpoint.hostname.isEmpty ? endpoint.hostname : nil
    }

    private func targets(
        _ cluster: Cluster, _ shared: ProcessCluster, _ members: [EndpointSet.Member],
        _ kept: [ClusterEndpoints.Kept], _ metadata: [[String: MetadataValue]]
    ) -> ClusterTargets {
        let own = cluster.balancing
        var balancing = BalancingSettings(hashing: own.hashing, slowStart: own.slowStart)
        balancing.hashBalanceFactor = own.hashBalanceFactor
        balancing.weighsHealth = cluster.weighsHealth
        balancing.locality = locality(own)
        let detector = shared.endpoints.detector(cluster.outliers)
        if let index = previousClusters[cluster.name], let previous,
            previous.configuration.clusters[index] == cluster
        {
            let known = previous.targets[index]
            if known.detector === detector, known.set.balancing == balancing,
                known.kept.elementsEqual(kept, by: { $0.state === $1.state })
            {
                return known
            }
        }
        var localities = cluster.localities.map {
            EndpointSet.Locality($0.name, priority: $0.priority, weight: $0.weight ?? 0)
        }
        if localities == Self.onlyLocality { localities = Self.onlyLocality }
        let set = EndpointSet(
            members, overprovisioningFactor: max(cluster.overprovisioningFactor, 1),
            panicThreshold: UInt32(min(max(cluster.panicThreshold, 0), 100)),
            localities: localities, balancing: balancing)
        return ClusterTargets(
            set: set, kept: kept,
            subsets: own.subsets.map { SubsetTable(set, metadata: metadata, $0) },
            detector: detector, outliersMode: cluster.outliersMode)
    }

    /// What most clusters have, in one place for all of them.
    private static let onlyLocality = [EndpointSet.Locality(LocalityName())]

    private func locality(_ balancing: ClusterBalancing) -> LocalityBalancing {
        switch balancing.localities {
        case .ignored: return .ignored
        case .weighted: return .weighted
        case .zoneAware(let zones):
            guard !localZones.isEmpty, balancing.hashing == nil else { return .ignored }
            var settings = ZoneAwareSettings(ownLocality: ownLocality, localCluster: localZones)
            settings.clusterSizeMin = zones.clusterSizeMin
            settings.routingEnabled = zones.share
            settings.failsTrafficOnPanic = zones.failsTrafficOnPanic
            settings.forcesOwnLocality = zones.forcesOwnLocality
            return .zoneAware(settings)
        }
    }

    // MARK: Subsets of routes

    /// Index of what a route says of subsets; -1 for nothing.
    mutating func store(_ criteria: [String: MetadataValue]) -> Int32 {
        if criteria.isEmpty { return -1 }
        if let known = objects.criteria.firstIndex(of: criteria) { return Int32(known) }
        objects.criteria.append(criteria)
        return Int32(objects.criteria.count - 1)
    }

    mutating func setSubsets(
        _ records: inout [WeightedClusterRecord], _ clusters: [WeightedCluster],
        _ route: [String: MetadataValue]
    ) {
        for (place, cluster) in clusters.enumerated() {
            let criteria = cluster.subset.isEmpty ? route : route.merging(cluster.subset) { $1 }
            records[place].criteria = store(criteria)
            let index = Int(records[place].cluster)
            guard index >= 0 else { continue }
            records[place].subset = objects.targets[index].subsets?.choice(criteria)
        }
    }
}

extension EndpointMarks {
    /// What discovery says.
    init(_ health: Endpoint.Health) {
        switch health {
        case .unknown, .healthy: self = []
        case .unhealthy, .timeout: self = .discoveredUnhealthy
        case .draining: self = .discoveredDraining
        case .degraded: self = .discoveredDegraded
        }
    }
}

extension LocalityEndpoints {
    var name: LocalityName { LocalityName(region: region, zone: zone, subZone: subZone) }
}

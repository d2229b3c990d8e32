/// A value of an endpoint's or a route's metadata (`envoy.lb`), as far as subsets look at it. Values are compared whole:
/// the text "1" is not the number 1.
public enum MetadataValue: Hashable, Sendable {
    case null
    case bool(Bool)
    case number(Double)
    case string(String)
    case list([MetadataValue])
}

/// Envoy's `LbSubsetConfig`.
public struct SubsetSettings: Equatable, Sendable {
    /// What happens to a request that no subset takes.
    public enum Fallback: Equatable, Sendable {
        /// As if the cluster had nobody.
        case none
        case anyEndpoint
        case defaultSubset
        /// The request is looked at again with these keys only (selectors alone have it).
        case keys([String])
    }

    public struct Selector: Equatable, Sendable {
        public var keys: [String]
        /// nil: what the cluster says.
        public var fallback: Fallback?
        /// Each endpoint is a subset of its own; of two with the same values the first counts.
        public var isSingleHost: Bool

        public init(_ keys: [String], fallback: Fallback? = nil, isSingleHost: Bool = false) {
            (self.keys, self.fallback, self.isSingleHost) = (
                Array(Set(keys)).sorted(), fallback, isSingleHost
            )
        }
    }

    public var fallback = Fallback.none
    public var defaultSubset: [String: MetadataValue] = [:]
    public var selectors: [Selector]
    /// A list in an endpoint's metadata stands for each of its values.
    public var listsAsAny = false
    /// Where a subset has nobody healthy and its fallback has nobody either, any endpoint of the cluster will do.
    public var panicsToAny = false
    /// The weights of localities count in subsets too.
    public var isLocalityWeightAware = false
    /// And shrink with the share of the locality that belongs to the subset.
    public var scalesLocalityWeight = false

    public init(_ selectors: [Selector], fallback: Fallback = .none) {
        (self.selectors, self.fallback) = (selectors, fallback)
    }
}

/// Which set of a `SubsetTable` a route's requests are balanced over. Found once, where a configuration is compiled.
public struct SubsetChoice: Equatable, Sendable, BitwiseCopyable {
    /// Index in `SubsetTable.sets`; nil: the request fails as if the cluster had nobody.
    public let set: Int?
    /// Where that set has nobody to give, `sets[0]` is asked.
    public let orAny: Bool
    /// No subset matched (`lb_subsets_fallback`), as against `lb_subsets_selected`.
    public let isFallback: Bool
}

/// The endpoints of a cluster divided by their metadata. Immutable; built where a configuration is compiled.
public final class SubsetTable: Sendable {
    /// The whole cluster first. Each has a version of its own only through the first: whoever changes the health of an
    /// endpoint tells that one.
    public let sets: [EndpointSet]
    private let settings: SubsetSettings
    private let byValues: [[String: MetadataValue]: Int]
    private let defaultSubset: Int?

    /// - Parameter metadata: of each member of `whole`, in its order.
    public init(_ whole: EndpointSet, metadata: [[String: MetadataValue]], _ settings: SubsetSettings) {
        precondition(metadata.count == whole.count)
        self.settings = settings
        var sets = [whole]
        var byValues: [[String: MetadataValue]: Int] = [:]
        for selector in settings.selectors where !selector.keys.isEmpty {
            var members: [[String: MetadataValue]: [Int]] = [:]
            var order: [[String: MetadataValue]] = []
            for (index, data) in metadata.enumerated() {
                for values in Self.combinations(data, selector.keys, listsAsAny: settings.listsAsAny) {
                    if members[values] == nil { order.append(values) }
                    if selector.isSingleHost, members[values] != nil { continue }
                    members[values, default: []].append(index)
                }
            }
            for values in order where byValues[values] == nil {
                byValues[values] = sets.count
                sets.append(Self.part(whole, members[values] ?? [], settings))
            }
        }
        let matching = metadata.indices.filter { index in
            settings.defaultSubset.allSatisfy { key, value in
                Self.combinations(metadata[index], [key], listsAsAny: settings.listsAsAny)
                    .contains([key: value])
            }
        }
        if matching.isEmpty {
            defaultSubset = nil
        } else {
            defaultSubset = sets.count
            sets.append(Self.part(whole, matching, settings))
        }
        (self.sets, self.byValues) = (sets, byValues)
    }

    /// For a route that asks for these values (`metadata_match`, namespace `envoy.lb`), in any order.
    public func choice(_ criteria: [String: MetadataValue]) -> SubsetChoice {
        var criteria = criteria
        // Each fallback to fewer keys makes the criteria smaller.
        while true {
            if !criteria.isEmpty, let set = byValues[criteria] {
                return SubsetChoice(set: set, orAny: settings.panicsToAny, isFallback: false)
            }
            let keys = criteria.keys.sorted()
            let selector = settings.selectors.first { $0.keys == keys }
            switch selector?.fallback ?? settings.fallback {
            case .none: return SubsetChoice(set: nil, orAny: settings.panicsToAny, isFallback: true)
            case .anyEndpoint: return SubsetChoice(set: 0, orAny: false, isFallback: true)
            case .defaultSubset:
                return SubsetChoice(set: defaultSubset, orAny: settings.panicsToAny, isFallback: true)
            case .keys(let fewer):
                let smaller = criteria.filter { fewer.contains($0.key) }
                guard smaller.count < criteria.count else {
                    return SubsetChoice(set: nil, orAny: settings.panicsToAny, isFallback: true)
                }
                criteria = smaller
            }
        }
    }

    /// The values of these keys; none if one is missing. A list gives one result for each of its values where that is
    /// asked for.
    private static func combinations(
        _ data: [String: MetadataValue], _ keys: [String], listsAsAny: Bool
    ) -> [[String: MetadataValue]] {
        var results: [[String: MetadataValue]] = [[:]]
        for key in keys {
            guard let value = data[key] else { return [] }
            var values = [value]
            if listsAsAny, case .list(let list) = value { values = list }
            results = results.flatMap { result in
                values.map { value in result.merging([key: value]) { $1 } }
            }
        }
        return results
    }

    private static func part(_ whole: EndpointSet, _ indices: [Int], _ settings: SubsetSettings)
        -> EndpointSet
    {
        let members = indices.map { whole.members[$0] }
        var localities = whole.localities
        var balancing = whole.balancing
        if balancing.locality == .weighted, !settings.isLocalityWeightAware { balancing.locality = .ignored }
        if settings.isLocalityWeightAware, settings.scalesLocalityWeight {
            localities = localities.enumerated().map { index, locality in
                let all = whole.members.count { $0.locality == index }
                let here = members.count { $0.locality == index }
                guard all > 0, here > 0, locality.weight > 0 else { return locality }
                let weight = (Double(locality.weight) * Double(here) / Double(all)).rounded()
                return EndpointSet.Locality(
                    locality.name, priority: locality.priority, weight: UInt32(max(1, weight)))
            }
        }
        return EndpointSet(
            members, overprovisioningFactor: whole.overprovisioningFactor,
            panicThreshold: whole.panicThreshold, localities: localities, balancing: balancing, partOf: whole)
    }
}

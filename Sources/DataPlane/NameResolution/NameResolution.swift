// NameResolution: the addresses behind the names of STRICT_DNS and LOGICAL_DNS clusters. c-ares asks, on the control
// loop and without threads, when the first such cluster is there; `EndpointNames` decides when a name is asked for
// again (its TTL, a rate, a back-off after failures) and puts addresses in the place of names. Traffic never waits:
// what is known stays until there is a better answer.

import Glibc
import MeshModel
import MeshPrimitives

/// What came of looking one name up.
public struct NameAnswer: Equatable, Sendable {
    /// At most `addressesMax`, in the server's order; empty if the name has none, or does not exist.
    public var addresses: [SocketAddress]
    /// Seconds; 0 if there is none, as for names of /etc/hosts.
    public var ttl: UInt32

    public static let addressesMax = 1024

    public init(addresses: [SocketAddress], ttl: UInt32) { (self.addresses, self.ttl) = (addresses, ttl) }
}

/// No server has answered, or none well.
public struct LookupFailure: Error, Equatable, Sendable, CustomStringConvertible {
    public let description: String

    public init(_ description: String) { self.description = description }
}

/// Asks for names; the ports of addresses do not matter. Confined to the thread of its loop.
public protocol NameSource: AnyObject {
    /// `completion` is told once, in a later turn.
    func lookUp(
        _ name: String, _ family: NameLookup.Family, by resolver: NameLookup.Resolver,
        _ completion: @escaping (Result<NameAnswer, LookupFailure>) -> Void)
    /// Lets go of what only other resolvers need.
    func retain(_ resolvers: Set<NameLookup.Resolver>)
}

import X509

/// Who a workload is: `spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE`.
public struct WorkloadIdentity: Sendable, Hashable, CustomStringConvertible {
    public let trustDomain: String
    public let namespace: String
    public let service: String

    public init(trustDomain: String, namespace: String, service: String) {
        (self.trustDomain, self.namespace, self.service) = (trustDomain, namespace, service)
    }

    /// The control plane itself, by which proxies know its servers.
    public static func control(trustDomain: String) -> WorkloadIdentity {
        WorkloadIdentity(trustDomain: trustDomain, namespace: "martlet", service: "control")
    }

    public var uri: String { "spiffe://\(trustDomain)/ns/\(namespace)/sa/\(service)" }

    /// As callers of the mesh write it: `SERVICE.NAMESPACE`.
    public var dnsName: String { "\(service).\(namespace)" }

    public var description: String { uri }

    /// From a SPIFFE id of this shape; `nil` for any other text.
    public init?(uri: String) {
        guard uri.hasPrefix("spiffe://"), uri.utf8.count <= 2048 else { return nil }
        let parts = uri.dropFirst("spiffe://".count).split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 5, parts[1] == "ns", parts[3] == "sa", parts.allSatisfy({ !$0.isEmpty }) else {
            return nil
        }
        self.init(trustDomain: String(parts[0]), namespace: String(parts[2]), service: String(parts[4]))
    }

    /// From a certificate: it must have exactly one URI name (SPIFFE X509-SVID, 2), of this shape.
    public init?(_ certificate: Certificate) {
        guard let names = try? certificate.extensions.subjectAlternativeNames else { return nil }
        let uris = names.compactMap { name -> String? in
            guard case .uniformResourceIdentifier(let uri) = name else { return nil }
            return uri
        }
        guard uris.count == 1 else { return nil }
        self.init(uri: uris[0])
    }
}

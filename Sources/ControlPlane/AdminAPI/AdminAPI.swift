// AdminAPI: the JSON that the control plane's HTTP API speaks, as Swift types, for the server and for `martlet`.
//
// Times are ISO 8601 in UTC with milliseconds. A field may be added at any time; names and meanings stay
// (CONTRACT.md, section 7).

/// One proxy as the control plane sees it (`/api/v1/proxies`).
public struct ProxyStatus: Sendable, Codable, Equatable {
    /// One type of resource on the proxy's stream.
    public struct TypeStatus: Sendable, Codable, Equatable {
        /// `listeners`, `routes`, `clusters`, `endpoints`, `secrets`.
        public var type: String
        /// Resources in the last response that was sent.
        public var resources: Int
        public var versionSent: String
        public var versionAcknowledged: String
        public var isInStep: Bool
        /// From the last response sent to its acknowledgement; if it is still open, to now.
        public var lagMilliseconds: Double?
        public var lastRefusal: Refusal?

        public init(
            type: String, resources: Int, versionSent: String, versionAcknowledged: String, isInStep: Bool,
            lagMilliseconds: Double?, lastRefusal: Refusal?
        ) {
            (self.type, self.resources, self.versionSent) = (type, resources, versionSent)
            (self.versionAcknowledged, self.isInStep) = (versionAcknowledged, isInStep)
            (self.lagMilliseconds, self.lastRefusal) = (lagMilliseconds, lastRefusal)
        }
    }

    /// A response that the proxy did not accept.
    public struct Refusal: Sendable, Codable, Equatable {
        public var version: String
        public var message: String
        public var time: String

        public init(version: String, message: String, time: String) {
            (self.version, self.message, self.time) = (version, message, time)
        }
    }

    /// The node's id (`NAMESPACE/SERVICE~INSTANCE`).
    public var id: String
    public var service: String
    public var userAgent: String
    /// The peer of the stream, as `ip:port`.
    public var peer: String
    /// The SPIFFE identity of its certificate; absent on the plaintext port.
    public var identity: String?
    public var connectedAt: String
    /// The newest revision of which the proxy holds everything.
    public var revisionAcknowledged: Int
    /// The newest revision from which it was sent something, or of which there was nothing new for it.
    public var revisionSent: Int
    /// How long the newest revision took, from its load to the proxy's last acknowledgement for it.
    public var lagMilliseconds: Double?
    public var types: [TypeStatus]

    public init(
        id: String, service: String, userAgent: String, peer: String, identity: String?, connectedAt: String,
        revisionAcknowledged: Int, revisionSent: Int, lagMilliseconds: Double?, types: [TypeStatus]
    ) {
        (self.id, self.service, self.userAgent, self.peer) = (id, service, userAgent, peer)
        (self.identity, self.connectedAt, self.types) = (identity, connectedAt, types)
        (self.revisionAcknowledged, self.revisionSent) = (revisionAcknowledged, revisionSent)
        self.lagMilliseconds = lagMilliseconds
    }
}

public struct ProxyList: Sendable, Codable, Equatable {
    public var revision: Int
    public var proxies: [ProxyStatus]

    public init(revision: Int, proxies: [ProxyStatus]) { (self.revision, self.proxies) = (revision, proxies) }
}

/// State of the store (`/api/v1/status`).
public struct StoreStatus: Sendable, Codable, Equatable {
    /// A set of files that was not taken over; the one before it stays in force.
    public struct Refusal: Sendable, Codable, Equatable {
        public var time: String
        /// One line each: `FILE:LINE:COLUMN: path.to.field: what is wrong; what to do`.
        public var errors: [String]

        public init(time: String, errors: [String]) { (self.time, self.errors) = (time, errors) }
    }

    public var version: String
    public var store: String
    public var revision: Int
    public var loadedAt: String
    public var resources: Int
    /// Absent when what lies on disk is in force.
    public var refused: Refusal?

    public init(
        version: String, store: String, revision: Int, loadedAt: String, resources: Int, refused: Refusal?
    ) {
        (self.version, self.store, self.revision) = (version, store, revision)
        (self.loadedAt, self.resources, self.refused) = (loadedAt, resources, refused)
    }
}

/// Resources as documents, with `status` filled in (`/api/v1/resources`).
public struct ResourceList: Sendable, Codable, Equatable {
    public var revision: Int
    public var items: [JSONValue]

    public init(revision: Int, items: [JSONValue]) { (self.revision, self.items) = (revision, items) }
}

/// One accepted change (`/api/v1/revisions`).
public struct RevisionRecord: Sendable, Codable, Equatable {
    public struct Change: Sendable, Codable, Equatable {
        public enum Action: String, Sendable, Codable { case created, changed, deleted }

        public var action: Action
        public var kind: String
        public var namespace: String
        public var name: String

        public init(action: Action, kind: String, namespace: String, name: String) {
            (self.action, self.kind, self.namespace, self.name) = (action, kind, namespace, name)
        }
    }

    public var revision: Int
    public var time: String
    public var changes: [Change]

    public init(revision: Int, time: String, changes: [Change]) {
        (self.revision, self.time, self.changes) = (revision, time, changes)
    }
}

public struct RevisionList: Sendable, Codable, Equatable {
    public var revisions: [RevisionRecord]

    public init(revisions: [RevisionRecord]) { self.revisions = revisions }
}

/// What happened to one proxy (event `proxy` of `/api/v1/events`).
public struct ProxyEvent: Sendable, Codable, Equatable {
    public enum Change: String, Sendable, Codable {
        case connected, disconnected, refused
        /// It holds everything of `revision`.
        case inStep
    }

    public var change: Change
    public var id: String
    public var service: String
    public var revision: Int?
    public var lagMilliseconds: Double?
    /// Refused: the type of resource.
    public var type: String?
    public var refusal: ProxyStatus.Refusal?

    public init(
        _ change: Change, id: String, service: String, revision: Int? = nil, lagMilliseconds: Double? = nil,
        type: String? = nil, refusal: ProxyStatus.Refusal? = nil
    ) {
        (self.change, self.id, self.service) = (change, id, service)
        (self.revision, self.lagMilliseconds) = (revision, lagMilliseconds)
        (self.type, self.refusal) = (type, refusal)
    }
}

/// One bucket of a mesh-wide limit, and who has which share of it (`/api/v1/quotas`). Rates are requests a second.
public struct QuotaStatus: Sendable, Codable, Equatable {
    /// What one proxy may let through.
    public struct Share: Sendable, Codable, Equatable {
        public var proxy: String
        public var perSecond: Double
        /// By its last report.
        public var allowedPerSecond: Double
        public var deniedPerSecond: Double
        /// Since the share was told to the proxy.
        public var ageSeconds: Double
        /// Since its last report.
        public var reportAgeSeconds: Double?

        public init(
            proxy: String, perSecond: Double, allowedPerSecond: Double, deniedPerSecond: Double,
            ageSeconds: Double, reportAgeSeconds: Double?
        ) {
            (self.proxy, self.perSecond, self.ageSeconds) = (proxy, perSecond, ageSeconds)
            (self.allowedPerSecond, self.deniedPerSecond) = (allowedPerSecond, deniedPerSecond)
            self.reportAgeSeconds = reportAgeSeconds
        }
    }

    /// The service, as `NAMESPACE/NAME`.
    public var domain: String
    public var bucketID: [String: String]
    public var limitPerSecond: Double
    public var allowedPerSecond: Double
    public var deniedPerSecond: Double
    public var shareCount: Int
    /// The largest ones.
    public var shares: [Share]

    public init(
        domain: String, bucketID: [String: String], limitPerSecond: Double, allowedPerSecond: Double,
        deniedPerSecond: Double, shareCount: Int, shares: [Share]
    ) {
        (self.domain, self.bucketID, self.limitPerSecond) = (domain, bucketID, limitPerSecond)
        (self.allowedPerSecond, self.deniedPerSecond) = (allowedPerSecond, deniedPerSecond)
        (self.shareCount, self.shares) = (shareCount, shares)
    }

    /// The bucket in one line.
    public var name: String {
        let values = bucketID.filter { !["scope", "limit"].contains($0.key) }.sorted { $0.key < $1.key }
        let parts =
            [bucketID["scope"] ?? "", bucketID["limit"] ?? ""] + values.map { "\($0.key)=\($0.value)" }
        return parts.joined(separator: " ")
    }
}

public struct QuotaList: Sendable, Codable, Equatable {
    /// A limit over all of its buckets, of which an open key makes many.
    public struct Limit: Sendable, Codable, Equatable {
        public var domain: String
        public var scope: String
        public var limit: String
        public var perSecond: Double
        /// Requests, over all reports.
        public var allowed: UInt64
        public var denied: UInt64

        public init(
            domain: String, scope: String, limit: String, perSecond: Double, allowed: UInt64, denied: UInt64
        ) {
            (self.domain, self.scope, self.limit) = (domain, scope, limit)
            (self.perSecond, self.allowed, self.denied) = (perSecond, allowed, denied)
        }
    }

    public var bucketCount: Int
    public var limits: [Limit]
    /// The buckets with the most use.
    public var items: [QuotaStatus]

    public init(bucketCount: Int, limits: [Limit], items: [QuotaStatus]) {
        (self.bucketCount, self.limits, self.items) = (bucketCount, limits, items)
    }
}

/// Asks for a join token (`POST /api/v1/tokens`).
public struct TokenRequest: Sendable, Codable, Equatable {
    /// `NAMESPACE/NAME`.
    public var service: String
    /// Gateway API duration; 1 h if absent.
    public var ttl: String?
    /// How often it may be used; 1 if absent.
    public var uses: Int?

    public init(service: String, ttl: String? = nil, uses: Int? = nil) {
        (self.service, self.ttl, self.uses) = (service, ttl, uses)
    }
}

/// The answer to `TokenRequest`; the only time that the token is shown.
public struct TokenGrant: Sendable, Codable, Equatable {
    public var token: String
    public var service: String
    public var expiresAt: String
    public var uses: Int

    public init(token: String, service: String, expiresAt: String, uses: Int) {
        (self.token, self.service, self.expiresAt, self.uses) = (token, service, expiresAt, uses)
    }
}

/// An error, as RFC 9457 (problem details) has it.
public struct Problem: Sendable, Codable, Equatable, Error {
    public var type: String
    public var title: String
    public var status: Int
    public var detail: String?

    public init(title: String, status: Int, detail: String? = nil) {
        (type, self.title, self.status, self.detail) = ("about:blank", title, status, detail)
    }
}

/// The addresses that `martlet-control --ports-file` writes, each `HOST:PORT`.
public struct ControlPorts: Sendable, Codable, Equatable {
    public enum CodingKeys: String, CodingKey {
        case xds, ca, http
        case xdsTLS = "xds_tls"
    }

    public var xds: String
    public var ca: String
    public var xdsTLS: String
    public var http: String

    public init(xds: String, ca: String, xdsTLS: String, http: String) {
        (self.xds, self.ca, self.xdsTLS, self.http) = (xds, ca, xdsTLS, http)
    }
}

/// The version that all three programs report.
public enum MartletVersion {
    public static let text = "0.1.0"
}

// swift-format-ignore-file
// Written by Generator/generate.py from Protos/ (`make protos`). Do not edit.

/// The messages that Martlet reads or writes, and the numbers of the fields that it carries out.
public enum XDS {
    /// envoy.config.accesslog.v3.AccessLog
    public enum AccessLog {
        public static var messageType: MessageType { MessageType(0) }
        public static var name: FieldNumber { 1 }
        public static var `filter`: FieldNumber { 2 }
        public static var typedConfig: FieldNumber { 4 }
    }
    /// envoy.config.accesslog.v3.AccessLogFilter
    public enum AccessLogFilter {
        public static var messageType: MessageType { MessageType(1) }
        public static var statusCodeFilter: FieldNumber { 1 }
        public static var durationFilter: FieldNumber { 2 }
        public static var notHealthCheckFilter: FieldNumber { 3 }
        public static var andFilter: FieldNumber { 6 }
        public static var orFilter: FieldNumber { 7 }
        public static var headerFilter: FieldNumber { 8 }
        public static var responseFlagFilter: FieldNumber { 9 }
    }
    /// envoy.extensions.filters.http.adaptive_concurrency.v3.AdaptiveConcurrency
    public enum AdaptiveConcurrency {
        public static var messageType: MessageType { MessageType(160) }
        public static var gradientControllerConfig: FieldNumber { 1 }
        public static var enabled: FieldNumber { 2 }
        public static var concurrencyLimitExceededStatus: FieldNumber { 3 }
    }
    /// envoy.config.core.v3.Address
    public enum Address {
        public static var messageType: MessageType { MessageType(43) }
        public static var socketAddress: FieldNumber { 1 }
    }
    /// envoy.config.bootstrap.v3.Admin
    public enum Admin {
        public static var messageType: MessageType { MessageType(10) }
        public static var address: FieldNumber { 3 }
    }
    /// envoy.extensions.filters.http.admission_control.v3.AdmissionControl
    public enum AdmissionControl {
        public static var messageType: MessageType { MessageType(164) }
        public static var enabled: FieldNumber { 1 }
        public static var successCriteria: FieldNumber { 2 }
        public static var samplingWindow: FieldNumber { 3 }
        public static var aggression: FieldNumber { 4 }
        public static var srThreshold: FieldNumber { 5 }
        public static var rpsThreshold: FieldNumber { 6 }
        public static var maxRejectionProbability: FieldNumber { 7 }
    }
    /// envoy.extensions.filters.http.admission_control.v3.AdmissionControl.SuccessCriteria
    public enum AdmissionControlSuccessCriteria {
        public static var messageType: MessageType { MessageType(165) }
        public static var httpCriteria: FieldNumber { 1 }
        public static var grpcCriteria: FieldNumber { 2 }
    }
    /// envoy.extensions.filters.http.admission_control.v3.AdmissionControl.SuccessCriteria.GrpcCriteria
    public enum AdmissionControlSuccessCriteriaGrpcCriteria {
        public static var messageType: MessageType { MessageType(166) }
        public static var grpcSuccessStatus: FieldNumber { 1 }
    }
    /// envoy.extensions.filters.http.admission_control.v3.AdmissionControl.SuccessCriteria.HttpCriteria
    public enum AdmissionControlSuccessCriteriaHttpCriteria {
        public static var messageType: MessageType { MessageType(167) }
        public static var httpSuccessStatus: FieldNumber { 1 }
    }
    /// envoy.config.core.v3.AggregatedConfigSource
    public enum AggregatedConfigSource {
        public static var messageType: MessageType { MessageType(44) }
    }
    /// envoy.config.accesslog.v3.AndFilter
    public enum AndFilter {
        public static var messageType: MessageType { MessageType(2) }
        public static var filters: FieldNumber { 1 }
    }
    /// google.protobuf.Any
    public enum AnyMessage {
        public static var messageType: MessageType { MessageType(273) }
        public static var typeUrl: FieldNumber { 1 }
        public static var value: FieldNumber { 2 }
    }
    /// envoy.config.core.v3.ApiConfigSource
    public enum ApiConfigSource {
        public static var messageType: MessageType { MessageType(45) }
        public static var apiType: FieldNumber { 1 }
        public static var grpcServices: FieldNumber { 4 }
        public static var setNodeOnFirstMessageOnly: FieldNumber { 7 }
        public static var transportApiVersion: FieldNumber { 8 }
    }
    /// google.protobuf.BoolValue
    public enum BoolValue {
        public static var messageType: MessageType { MessageType(274) }
        public static var value: FieldNumber { 1 }
    }
    /// envoy.config.bootstrap.v3.Bootstrap
    public enum Bootstrap {
        public static var messageType: MessageType { MessageType(11) }
        public static var node: FieldNumber { 1 }
        public static var staticResources: FieldNumber { 2 }
        public static var dynamicResources: FieldNumber { 3 }
        public static var clusterManager: FieldNumber { 4 }
        public static var admin: FieldNumber { 12 }
        public static var layeredRuntime: FieldNumber { 17 }
    }
    /// envoy.config.bootstrap.v3.Bootstrap.DynamicResources
    public enum BootstrapDynamicResources {
        public static var messageType: MessageType { MessageType(12) }
        public static var ldsConfig: FieldNumber { 1 }
        public static var cdsConfig: FieldNumber { 2 }
        public static var adsConfig: FieldNumber { 3 }
    }
    /// envoy.config.bootstrap.v3.Bootstrap.StaticResources
    public enum BootstrapStaticResources {
        public static var messageType: MessageType { MessageType(13) }
        public static var listeners: FieldNumber { 1 }
        public static var clusters: FieldNumber { 2 }
        public static var secrets: FieldNumber { 3 }
    }
    /// envoy.service.rate_limit_quota.v3.BucketId
    public enum BucketId {
        public static var messageType: MessageType { MessageType(244) }
        public static var bucket: FieldNumber { 1 }
    }
    /// envoy.config.core.v3.BuildVersion
    public enum BuildVersion {
        public static var messageType: MessageType { MessageType(46) }
        public static var version: FieldNumber { 1 }
        public static var metadata: FieldNumber { 2 }
    }
    /// google.protobuf.BytesValue
    public enum BytesValue {
        public static var messageType: MessageType { MessageType(275) }
        public static var value: FieldNumber { 1 }
    }
    /// envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig
    public enum CaresDnsResolverConfig {
        public static var messageType: MessageType { MessageType(218) }
        public static var resolvers: FieldNumber { 1 }
        public static var dnsResolverOptions: FieldNumber { 2 }
        public static var queryTimeoutSeconds: FieldNumber { 6 }
        public static var queryTries: FieldNumber { 7 }
    }
    /// envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext
    public enum CertificateValidationContext {
        public static var messageType: MessageType { MessageType(224) }
        public static var trustedCa: FieldNumber { 1 }
        public static var verifyCertificateHash: FieldNumber { 2 }
        public static var matchTypedSubjectAltNames: FieldNumber { 15 }
    }
    /// envoy.config.core.v3.CidrRange
    public enum CidrRange {
        public static var messageType: MessageType { MessageType(47) }
        public static var addressPrefix: FieldNumber { 1 }
        public static var prefixLen: FieldNumber { 2 }
    }
    /// envoy.config.cluster.v3.CircuitBreakers
    public enum CircuitBreakers {
        public static var messageType: MessageType { MessageType(18) }
        public static var thresholds: FieldNumber { 1 }
        public static var perHostThresholds: FieldNumber { 2 }
    }
    /// envoy.config.cluster.v3.CircuitBreakers.Thresholds
    public enum CircuitBreakersThresholds {
        public static var messageType: MessageType { MessageType(19) }
        public static var priority: FieldNumber { 1 }
        public static var maxConnections: FieldNumber { 2 }
        public static var maxPendingRequests: FieldNumber { 3 }
        public static var maxRequests: FieldNumber { 4 }
        public static var maxRetries: FieldNumber { 5 }
        public static var trackRemaining: FieldNumber { 6 }
        public static var retryBudget: FieldNumber { 8 }
    }
    /// envoy.config.cluster.v3.CircuitBreakers.Thresholds.RetryBudget
    public enum CircuitBreakersThresholdsRetryBudget {
        public static var messageType: MessageType { MessageType(20) }
        public static var budgetPercent: FieldNumber { 1 }
        public static var minRetryConcurrency: FieldNumber { 2 }
    }
    /// envoy.config.cluster.v3.Cluster
    public enum Cluster {
        public static var messageType: MessageType { MessageType(21) }
        public static var name: FieldNumber { 1 }
        public static var `type`: FieldNumber { 2 }
        public static var edsClusterConfig: FieldNumber { 3 }
        public static var connectTimeout: FieldNumber { 4 }
        public static var lbPolicy: FieldNumber { 6 }
        public static var healthChecks: FieldNumber { 8 }
        public static var circuitBreakers: FieldNumber { 10 }
        public static var dnsRefreshRate: FieldNumber { 16 }
        public static var dnsLookupFamily: FieldNumber { 17 }
        public static var outlierDetection: FieldNumber { 19 }
        public static var cleanupInterval: FieldNumber { 20 }
        public static var lbSubsetConfig: FieldNumber { 22 }
        public static var ringHashLbConfig: FieldNumber { 23 }
        public static var transportSocket: FieldNumber { 24 }
        public static var commonLbConfig: FieldNumber { 27 }
        public static var loadAssignment: FieldNumber { 33 }
        public static var originalDstLbConfig: FieldNumber { 34 }
        public static var typedExtensionProtocolOptions: FieldNumber { 36 }
        public static var leastRequestLbConfig: FieldNumber { 37 }
        public static var respectDnsTtl: FieldNumber { 39 }
        public static var loadBalancingPolicy: FieldNumber { 41 }
        public static var transportSocketMatches: FieldNumber { 43 }
        public static var dnsFailureRefreshRate: FieldNumber { 44 }
        public static var maglevLbConfig: FieldNumber { 52 }
        public static var typedDnsResolverConfig: FieldNumber { 55 }
        public static var roundRobinLbConfig: FieldNumber { 56 }
        public static var dnsJitter: FieldNumber { 58 }
    }
    /// envoy.config.cluster.v3.Cluster.CommonLbConfig
    public enum ClusterCommonLbConfig {
        public static var messageType: MessageType { MessageType(22) }
        public static var healthyPanicThreshold: FieldNumber { 1 }
        public static var zoneAwareLbConfig: FieldNumber { 2 }
        public static var localityWeightedLbConfig: FieldNumber { 3 }
        public static var ignoreNewHostsUntilFirstHc: FieldNumber { 5 }
        public static var consistentHashingLbConfig: FieldNumber { 7 }
    }
    /// envoy.config.cluster.v3.Cluster.CommonLbConfig.ConsistentHashingLbConfig
    public enum ClusterCommonLbConfigConsistentHashingLbConfig {
        public static var messageType: MessageType { MessageType(23) }
        public static var useHostnameForHashing: FieldNumber { 1 }
        public static var hashBalanceFactor: FieldNumber { 2 }
    }
    /// envoy.config.cluster.v3.Cluster.CommonLbConfig.LocalityWeightedLbConfig
    public enum ClusterCommonLbConfigLocalityWeightedLbConfig {
        public static var messageType: MessageType { MessageType(24) }
    }
    /// envoy.config.cluster.v3.Cluster.CommonLbConfig.ZoneAwareLbConfig
    public enum ClusterCommonLbConfigZoneAwareLbConfig {
        public static var messageType: MessageType { MessageType(25) }
        public static var routingEnabled: FieldNumber { 1 }
        public static var minClusterSize: FieldNumber { 2 }
        public static var failTrafficOnPanic: FieldNumber { 3 }
    }
    /// envoy.config.cluster.v3.Cluster.EdsClusterConfig
    public enum ClusterEdsClusterConfig {
        public static var messageType: MessageType { MessageType(26) }
        public static var edsConfig: FieldNumber { 1 }
        public static var serviceName: FieldNumber { 2 }
    }
    /// envoy.config.cluster.v3.Cluster.LbSubsetConfig
    public enum ClusterLbSubsetConfig {
        public static var messageType: MessageType { MessageType(27) }
        public static var fallbackPolicy: FieldNumber { 1 }
        public static var defaultSubset: FieldNumber { 2 }
        public static var subsetSelectors: FieldNumber { 3 }
        public static var localityWeightAware: FieldNumber { 4 }
        public static var scaleLocalityWeight: FieldNumber { 5 }
        public static var panicModeAny: FieldNumber { 6 }
        public static var listAsAny: FieldNumber { 7 }
    }
    /// envoy.config.cluster.v3.Cluster.LbSubsetConfig.LbSubsetSelector
    public enum ClusterLbSubsetConfigLbSubsetSelector {
        public static var messageType: MessageType { MessageType(28) }
        public static var keys: FieldNumber { 1 }
        public static var fallbackPolicy: FieldNumber { 2 }
        public static var fallbackKeysSubset: FieldNumber { 3 }
        public static var singleHostPerSubset: FieldNumber { 4 }
    }
    /// envoy.config.cluster.v3.Cluster.LeastRequestLbConfig
    public enum ClusterLeastRequestLbConfig {
        public static var messageType: MessageType { MessageType(29) }
        public static var choiceCount: FieldNumber { 1 }
        public static var activeRequestBias: FieldNumber { 2 }
        public static var slowStartConfig: FieldNumber { 3 }
    }
    /// envoy.config.endpoint.v3.ClusterLoadAssignment
    public enum ClusterLoadAssignment {
        public static var messageType: MessageType { MessageType(84) }
        public static var clusterName: FieldNumber { 1 }
        public static var endpoints: FieldNumber { 2 }
        public static var policy: FieldNumber { 4 }
    }
    /// envoy.config.endpoint.v3.ClusterLoadAssignment.Policy
    public enum ClusterLoadAssignmentPolicy {
        public static var messageType: MessageType { MessageType(85) }
        public static var dropOverloads: FieldNumber { 2 }
        public static var overprovisioningFactor: FieldNumber { 3 }
        public static var weightedPriorityHealth: FieldNumber { 6 }
    }
    /// envoy.config.endpoint.v3.ClusterLoadAssignment.Policy.DropOverload
    public enum ClusterLoadAssignmentPolicyDropOverload {
        public static var messageType: MessageType { MessageType(86) }
        public static var category: FieldNumber { 1 }
        public static var dropPercentage: FieldNumber { 2 }
    }
    /// envoy.config.cluster.v3.Cluster.MaglevLbConfig
    public enum ClusterMaglevLbConfig {
        public static var messageType: MessageType { MessageType(30) }
        public static var tableSize: FieldNumber { 1 }
    }
    /// envoy.config.bootstrap.v3.ClusterManager
    public enum ClusterManager {
        public static var messageType: MessageType { MessageType(14) }
        public static var localClusterName: FieldNumber { 1 }
    }
    /// envoy.config.cluster.v3.Cluster.OriginalDstLbConfig
    public enum ClusterOriginalDstLbConfig {
        public static var messageType: MessageType { MessageType(31) }
        public static var useHttpHeader: FieldNumber { 1 }
        public static var httpHeaderName: FieldNumber { 2 }
        public static var upstreamPortOverride: FieldNumber { 3 }
    }
    /// envoy.config.cluster.v3.Cluster.RefreshRate
    public enum ClusterRefreshRate {
        public static var messageType: MessageType { MessageType(32) }
        public static var baseInterval: FieldNumber { 1 }
        public static var maxInterval: FieldNumber { 2 }
    }
    /// envoy.config.cluster.v3.Cluster.RingHashLbConfig
    public enum ClusterRingHashLbConfig {
        public static var messageType: MessageType { MessageType(33) }
        public static var minimumRingSize: FieldNumber { 1 }
        public static var hashFunction: FieldNumber { 3 }
        public static var maximumRingSize: FieldNumber { 4 }
    }
    /// envoy.config.cluster.v3.Cluster.RoundRobinLbConfig
    public enum ClusterRoundRobinLbConfig {
        public static var messageType: MessageType { MessageType(34) }
        public static var slowStartConfig: FieldNumber { 1 }
    }
    /// envoy.config.cluster.v3.Cluster.SlowStartConfig
    public enum ClusterSlowStartConfig {
        public static var messageType: MessageType { MessageType(35) }
        public static var slowStartWindow: FieldNumber { 1 }
        public static var aggression: FieldNumber { 2 }
        public static var minWeightPercent: FieldNumber { 3 }
    }
    /// envoy.config.cluster.v3.Cluster.TransportSocketMatch
    public enum ClusterTransportSocketMatch {
        public static var messageType: MessageType { MessageType(36) }
        public static var name: FieldNumber { 1 }
        public static var `match`: FieldNumber { 2 }
        public static var transportSocket: FieldNumber { 3 }
    }
    /// envoy.extensions.transport_sockets.tls.v3.CommonTlsContext
    public enum CommonTlsContext {
        public static var messageType: MessageType { MessageType(225) }
        public static var tlsParams: FieldNumber { 1 }
        public static var tlsCertificates: FieldNumber { 2 }
        public static var validationContext: FieldNumber { 3 }
        public static var alpnProtocols: FieldNumber { 4 }
        public static var tlsCertificateSdsSecretConfigs: FieldNumber { 6 }
        public static var validationContextSdsSecretConfig: FieldNumber { 7 }
        public static var combinedValidationContext: FieldNumber { 8 }
    }
    /// envoy.extensions.transport_sockets.tls.v3.CommonTlsContext.CombinedCertificateValidationContext
    public enum CommonTlsContextCombinedCertificateValidationContext {
        public static var messageType: MessageType { MessageType(226) }
        public static var defaultValidationContext: FieldNumber { 1 }
        public static var validationContextSdsSecretConfig: FieldNumber { 2 }
    }
    /// envoy.config.accesslog.v3.ComparisonFilter
    public enum ComparisonFilter {
        public static var messageType: MessageType { MessageType(3) }
        public static var op: FieldNumber { 1 }
        public static var value: FieldNumber { 2 }
    }
    /// envoy.config.core.v3.ConfigSource
    public enum ConfigSource {
        public static var messageType: MessageType { MessageType(48) }
        public static var ads: FieldNumber { 3 }
        public static var initialFetchTimeout: FieldNumber { 4 }
        public static var resourceApiVersion: FieldNumber { 6 }
    }
    /// envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit
    public enum ConnectionRateLimit {
        public static var messageType: MessageType { MessageType(201) }
        public static var statPrefix: FieldNumber { 1 }
        public static var tokenBucket: FieldNumber { 2 }
        public static var runtimeEnabled: FieldNumber { 3 }
    }
    /// envoy.extensions.load_balancing_policies.common.v3.ConsistentHashingLbConfig
    public enum ConsistentHashingLbConfig {
        public static var messageType: MessageType { MessageType(207) }
        public static var useHostnameForHashing: FieldNumber { 1 }
        public static var hashBalanceFactor: FieldNumber { 2 }
    }
    /// envoy.config.core.v3.ControlPlane
    public enum ControlPlane {
        public static var messageType: MessageType { MessageType(49) }
        public static var identifier: FieldNumber { 1 }
    }
    /// envoy.config.core.v3.HealthCheck
    public enum CoreHealthCheck {
        public static var messageType: MessageType { MessageType(57) }
        public static var timeout: FieldNumber { 1 }
        public static var interval: FieldNumber { 2 }
        public static var intervalJitter: FieldNumber { 3 }
        public static var unhealthyThreshold: FieldNumber { 4 }
        public static var healthyThreshold: FieldNumber { 5 }
        public static var reuseConnection: FieldNumber { 7 }
        public static var httpHealthCheck: FieldNumber { 8 }
        public static var tcpHealthCheck: FieldNumber { 9 }
        public static var grpcHealthCheck: FieldNumber { 11 }
        public static var noTrafficInterval: FieldNumber { 12 }
        public static var unhealthyInterval: FieldNumber { 14 }
        public static var unhealthyEdgeInterval: FieldNumber { 15 }
        public static var healthyEdgeInterval: FieldNumber { 16 }
        public static var eventLogPath: FieldNumber { 17 }
        public static var intervalJitterPercent: FieldNumber { 18 }
        public static var alwaysLogHealthCheckFailures: FieldNumber { 19 }
        public static var initialJitter: FieldNumber { 20 }
        public static var noTrafficHealthyInterval: FieldNumber { 24 }
        public static var eventLogger: FieldNumber { 25 }
        public static var alwaysLogHealthCheckSuccess: FieldNumber { 26 }
    }
    /// envoy.config.core.v3.HttpProtocolOptions
    public enum CoreHttpProtocolOptions {
        public static var messageType: MessageType { MessageType(66) }
        public static var idleTimeout: FieldNumber { 1 }
        public static var maxHeadersCount: FieldNumber { 2 }
        public static var maxConnectionDuration: FieldNumber { 3 }
        public static var maxStreamDuration: FieldNumber { 4 }
        public static var headersWithUnderscoresAction: FieldNumber { 5 }
        public static var maxRequestsPerConnection: FieldNumber { 6 }
    }
    /// envoy.extensions.filters.http.cors.v3.Cors
    public enum Cors {
        public static var messageType: MessageType { MessageType(168) }
    }
    /// envoy.extensions.filters.http.cors.v3.CorsPolicy
    public enum CorsPolicy {
        public static var messageType: MessageType { MessageType(169) }
        public static var allowOriginStringMatch: FieldNumber { 1 }
        public static var allowMethods: FieldNumber { 2 }
        public static var allowHeaders: FieldNumber { 3 }
        public static var exposeHeaders: FieldNumber { 4 }
        public static var maxAge: FieldNumber { 5 }
        public static var allowCredentials: FieldNumber { 6 }
        public static var filterEnabled: FieldNumber { 7 }
        public static var shadowEnabled: FieldNumber { 8 }
        public static var forwardNotMatchingPreflights: FieldNumber { 10 }
    }
    /// envoy.type.tracing.v3.CustomTag
    public enum CustomTag {
        public static var messageType: MessageType { MessageType(258) }
        public static var tag: FieldNumber { 1 }
        public static var literal: FieldNumber { 2 }
        public static var environment: FieldNumber { 3 }
        public static var requestHeader: FieldNumber { 4 }
    }
    /// envoy.type.tracing.v3.CustomTag.Environment
    public enum CustomTagEnvironment {
        public static var messageType: MessageType { MessageType(259) }
        public static var name: FieldNumber { 1 }
        public static var defaultValue: FieldNumber { 2 }
    }
    /// envoy.type.tracing.v3.CustomTag.Header
    public enum CustomTagHeader {
        public static var messageType: MessageType { MessageType(260) }
        public static var name: FieldNumber { 1 }
        public static var defaultValue: FieldNumber { 2 }
    }
    /// envoy.type.tracing.v3.CustomTag.Literal
    public enum CustomTagLiteral {
        public static var messageType: MessageType { MessageType(261) }
        public static var value: FieldNumber { 1 }
    }
    /// envoy.config.core.v3.DataSource
    public enum DataSource {
        public static var messageType: MessageType { MessageType(50) }
        public static var filename: FieldNumber { 1 }
        public static var inlineBytes: FieldNumber { 2 }
        public static var inlineString: FieldNumber { 3 }
        public static var environmentVariable: FieldNumber { 4 }
    }
    /// envoy.config.route.v3.Decorator
    public enum Decorator {
        public static var messageType: MessageType { MessageType(97) }
        public static var operation: FieldNumber { 1 }
        public static var propagate: FieldNumber { 2 }
    }
    /// envoy.service.discovery.v3.DeltaDiscoveryRequest
    public enum DeltaDiscoveryRequest {
        public static var messageType: MessageType { MessageType(238) }
        public static var node: FieldNumber { 1 }
        public static var typeUrl: FieldNumber { 2 }
        public static var resourceNamesSubscribe: FieldNumber { 3 }
        public static var resourceNamesUnsubscribe: FieldNumber { 4 }
        public static var initialResourceVersions: FieldNumber { 5 }
        public static var responseNonce: FieldNumber { 6 }
        public static var errorDetail: FieldNumber { 7 }
    }
    /// envoy.service.discovery.v3.DeltaDiscoveryResponse
    public enum DeltaDiscoveryResponse {
        public static var messageType: MessageType { MessageType(240) }
        public static var systemVersionInfo: FieldNumber { 1 }
        public static var resources: FieldNumber { 2 }
        public static var typeUrl: FieldNumber { 4 }
        public static var nonce: FieldNumber { 5 }
        public static var removedResources: FieldNumber { 6 }
        public static var controlPlane: FieldNumber { 7 }
    }
    /// envoy.config.route.v3.DirectResponseAction
    public enum DirectResponseAction {
        public static var messageType: MessageType { MessageType(98) }
        public static var status: FieldNumber { 1 }
        public static var body: FieldNumber { 2 }
    }
    /// envoy.service.discovery.v3.DiscoveryRequest
    public enum DiscoveryRequest {
        public static var messageType: MessageType { MessageType(241) }
        public static var versionInfo: FieldNumber { 1 }
        public static var node: FieldNumber { 2 }
        public static var resourceNames: FieldNumber { 3 }
        public static var typeUrl: FieldNumber { 4 }
        public static var responseNonce: FieldNumber { 5 }
        public static var errorDetail: FieldNumber { 6 }
    }
    /// envoy.service.discovery.v3.DiscoveryResponse
    public enum DiscoveryResponse {
        public static var messageType: MessageType { MessageType(242) }
        public static var versionInfo: FieldNumber { 1 }
        public static var resources: FieldNumber { 2 }
        public static var typeUrl: FieldNumber { 4 }
        public static var nonce: FieldNumber { 5 }
        public static var controlPlane: FieldNumber { 6 }
    }
    /// envoy.config.core.v3.DnsResolverOptions
    public enum DnsResolverOptions {
        public static var messageType: MessageType { MessageType(51) }
        public static var useTcpForDnsLookups: FieldNumber { 1 }
        public static var noDefaultSearchDomain: FieldNumber { 2 }
    }
    /// google.protobuf.DoubleValue
    public enum DoubleValue {
        public static var messageType: MessageType { MessageType(276) }
        public static var value: FieldNumber { 1 }
    }
    /// envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
    public enum DownstreamTlsContext {
        public static var messageType: MessageType { MessageType(227) }
        public static var commonTlsContext: FieldNumber { 1 }
        public static var requireClientCertificate: FieldNumber { 2 }
    }
    /// google.protobuf.Duration
    public enum Duration {
        public static var messageType: MessageType { MessageType(277) }
        public static var seconds: FieldNumber { 1 }
        public static var nanos: FieldNumber { 2 }
    }
    /// envoy.config.accesslog.v3.DurationFilter
    public enum DurationFilter {
        public static var messageType: MessageType { MessageType(4) }
        public static var comparison: FieldNumber { 1 }
    }
    /// envoy.config.endpoint.v3.Endpoint
    public enum Endpoint {
        public static var messageType: MessageType { MessageType(87) }
        public static var address: FieldNumber { 1 }
        public static var healthCheckConfig: FieldNumber { 2 }
        public static var hostname: FieldNumber { 3 }
    }
    /// envoy.config.endpoint.v3.Endpoint.HealthCheckConfig
    public enum EndpointHealthCheckConfig {
        public static var messageType: MessageType { MessageType(88) }
        public static var portValue: FieldNumber { 1 }
        public static var hostname: FieldNumber { 2 }
        public static var disableActiveHealthCheck: FieldNumber { 4 }
    }
    /// envoy.config.core.v3.Extension
    public enum Extension {
        public static var messageType: MessageType { MessageType(52) }
        public static var name: FieldNumber { 1 }
        public static var category: FieldNumber { 2 }
        public static var typeUrls: FieldNumber { 6 }
    }
    /// envoy.extensions.filters.http.fault.v3.FaultAbort
    public enum FaultAbort {
        public static var messageType: MessageType { MessageType(170) }
        public static var httpStatus: FieldNumber { 2 }
        public static var percentage: FieldNumber { 3 }
        public static var headerAbort: FieldNumber { 4 }
        public static var grpcStatus: FieldNumber { 5 }
    }
    /// envoy.extensions.filters.http.fault.v3.FaultAbort.HeaderAbort
    public enum FaultAbortHeaderAbort {
        public static var messageType: MessageType { MessageType(171) }
    }
    /// envoy.extensions.filters.common.fault.v3.FaultDelay
    public enum FaultDelay {
        public static var messageType: MessageType { MessageType(155) }
        public static var fixedDelay: FieldNumber { 3 }
        public static var percentage: FieldNumber { 4 }
        public static var headerDelay: FieldNumber { 5 }
    }
    /// envoy.extensions.filters.common.fault.v3.FaultDelay.HeaderDelay
    public enum FaultDelayHeaderDelay {
        public static var messageType: MessageType { MessageType(156) }
    }
    /// envoy.extensions.filters.common.fault.v3.FaultRateLimit
    public enum FaultRateLimit {
        public static var messageType: MessageType { MessageType(157) }
        public static var fixedLimit: FieldNumber { 1 }
        public static var percentage: FieldNumber { 2 }
        public static var headerLimit: FieldNumber { 3 }
    }
    /// envoy.extensions.filters.common.fault.v3.FaultRateLimit.FixedLimit
    public enum FaultRateLimitFixedLimit {
        public static var messageType: MessageType { MessageType(158) }
        public static var limitKbps: FieldNumber { 1 }
    }
    /// envoy.extensions.filters.common.fault.v3.FaultRateLimit.HeaderLimit
    public enum FaultRateLimitHeaderLimit {
        public static var messageType: MessageType { MessageType(159) }
    }
    /// envoy.extensions.access_loggers.file.v3.FileAccessLog
    public enum FileAccessLog {
        public static var messageType: MessageType { MessageType(149) }
        public static var path: FieldNumber { 1 }
        public static var format: FieldNumber { 2 }
        public static var logFormat: FieldNumber { 5 }
    }
    /// envoy.config.listener.v3.Filter
    public enum Filter {
        public static var messageType: MessageType { MessageType(91) }
        public static var name: FieldNumber { 1 }
        public static var typedConfig: FieldNumber { 4 }
    }
    /// envoy.config.listener.v3.FilterChain
    public enum FilterChain {
        public static var messageType: MessageType { MessageType(92) }
        public static var filterChainMatch: FieldNumber { 1 }
        public static var filters: FieldNumber { 3 }
        public static var transportSocket: FieldNumber { 6 }
        public static var name: FieldNumber { 7 }
    }
    /// envoy.config.listener.v3.FilterChainMatch
    public enum FilterChainMatch {
        public static var messageType: MessageType { MessageType(93) }
        public static var prefixRanges: FieldNumber { 3 }
        public static var sourcePrefixRanges: FieldNumber { 6 }
        public static var destinationPort: FieldNumber { 8 }
        public static var transportProtocol: FieldNumber { 9 }
        public static var applicationProtocols: FieldNumber { 10 }
        public static var serverNames: FieldNumber { 11 }
    }
    /// google.protobuf.FloatValue
    public enum FloatValue {
        public static var messageType: MessageType { MessageType(278) }
        public static var value: FieldNumber { 1 }
    }
    /// envoy.type.v3.FractionalPercent
    public enum FractionalPercent {
        public static var messageType: MessageType { MessageType(262) }
        public static var numerator: FieldNumber { 1 }
        public static var denominator: FieldNumber { 2 }
    }
    /// envoy.extensions.filters.http.ratelimit.v3.RateLimit
    public enum GlobalRateLimit {
        public static var messageType: MessageType { MessageType(188) }
        public static var domain: FieldNumber { 1 }
        public static var stage: FieldNumber { 2 }
        public static var requestType: FieldNumber { 3 }
        public static var timeout: FieldNumber { 4 }
        public static var failureModeDeny: FieldNumber { 5 }
        public static var rateLimitedAsResourceExhausted: FieldNumber { 6 }
        public static var rateLimitService: FieldNumber { 7 }
        public static var enableXRatelimitHeaders: FieldNumber { 8 }
        public static var disableXEnvoyRatelimitedHeader: FieldNumber { 9 }
        public static var rateLimitedStatus: FieldNumber { 10 }
        public static var responseHeadersToAdd: FieldNumber { 11 }
        public static var statusOnError: FieldNumber { 12 }
        public static var filterEnabled: FieldNumber { 14 }
        public static var filterEnforced: FieldNumber { 15 }
        public static var failureModeDenyPercent: FieldNumber { 16 }
        public static var rateLimits: FieldNumber { 17 }
    }
    /// envoy.extensions.filters.http.adaptive_concurrency.v3.GradientControllerConfig
    public enum GradientControllerConfig {
        public static var messageType: MessageType { MessageType(161) }
        public static var sampleAggregatePercentile: FieldNumber { 1 }
        public static var concurrencyLimitParams: FieldNumber { 2 }
        public static var minRttCalcParams: FieldNumber { 3 }
    }
    /// envoy.extensions.filters.http.adaptive_concurrency.v3.GradientControllerConfig.ConcurrencyLimitCalculationParams
    public enum GradientControllerConfigConcurrencyLimitCalculationParams {
        public static var messageType: MessageType { MessageType(162) }
        public static var maxConcurrencyLimit: FieldNumber { 2 }
        public static var concurrencyUpdateInterval: FieldNumber { 3 }
    }
    /// envoy.extensions.filters.http.adaptive_concurrency.v3.GradientControllerConfig.MinimumRTTCalculationParams
    public enum GradientControllerConfigMinimumRTTCalculationParams {
        public static var messageType: MessageType { MessageType(163) }
        public static var interval: FieldNumber { 1 }
        public static var requestCount: FieldNumber { 2 }
        public static var jitter: FieldNumber { 3 }
        public static var minConcurrency: FieldNumber { 4 }
        public static var buffer: FieldNumber { 5 }
    }
    /// envoy.config.core.v3.GrpcService
    public enum GrpcService {
        public static var messageType: MessageType { MessageType(53) }
        public static var envoyGrpc: FieldNumber { 1 }
        public static var timeout: FieldNumber { 3 }
        public static var initialMetadata: FieldNumber { 5 }
    }
    /// envoy.config.core.v3.GrpcService.EnvoyGrpc
    public enum GrpcServiceEnvoyGrpc {
        public static var messageType: MessageType { MessageType(54) }
        public static var clusterName: FieldNumber { 1 }
        public static var authority: FieldNumber { 2 }
    }
    /// envoy.extensions.filters.http.fault.v3.HTTPFault
    public enum HTTPFault {
        public static var messageType: MessageType { MessageType(172) }
        public static var delay: FieldNumber { 1 }
        public static var abort: FieldNumber { 2 }
        public static var upstreamCluster: FieldNumber { 3 }
        public static var headers: FieldNumber { 4 }
        public static var downstreamNodes: FieldNumber { 5 }
        public static var maxActiveFaults: FieldNumber { 6 }
        public static var responseRateLimit: FieldNumber { 7 }
    }
    /// envoy.type.v3.HashPolicy
    public enum HashPolicy {
        public static var messageType: MessageType { MessageType(263) }
        public static var sourceIp: FieldNumber { 1 }
    }
    /// envoy.type.v3.HashPolicy.SourceIp
    public enum HashPolicySourceIp {
        public static var messageType: MessageType { MessageType(264) }
    }
    /// envoy.config.accesslog.v3.HeaderFilter
    public enum HeaderFilter {
        public static var messageType: MessageType { MessageType(5) }
        public static var header: FieldNumber { 1 }
    }
    /// envoy.config.route.v3.HeaderMatcher
    public enum HeaderMatcher {
        public static var messageType: MessageType { MessageType(99) }
        public static var name: FieldNumber { 1 }
        public static var exactMatch: FieldNumber { 4 }
        public static var rangeMatch: FieldNumber { 6 }
        public static var presentMatch: FieldNumber { 7 }
        public static var invertMatch: FieldNumber { 8 }
        public static var prefixMatch: FieldNumber { 9 }
        public static var suffixMatch: FieldNumber { 10 }
        public static var safeRegexMatch: FieldNumber { 11 }
        public static var containsMatch: FieldNumber { 12 }
        public static var stringMatch: FieldNumber { 13 }
        public static var treatMissingHeaderAsEmpty: FieldNumber { 14 }
    }
    /// envoy.extensions.filters.http.header_mutation.v3.HeaderMutation
    public enum HeaderMutationHeaderMutation {
        public static var messageType: MessageType { MessageType(173) }
        public static var mutations: FieldNumber { 1 }
        public static var mostSpecificHeaderMutationsWins: FieldNumber { 2 }
    }
    /// envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute
    public enum HeaderMutationPerRoute {
        public static var messageType: MessageType { MessageType(174) }
        public static var mutations: FieldNumber { 1 }
    }
    /// envoy.config.common.mutation_rules.v3.HeaderMutation.RemoveOnMatch
    public enum HeaderMutationRemoveOnMatch {
        public static var messageType: MessageType { MessageType(42) }
        public static var keyMatcher: FieldNumber { 1 }
    }
    /// envoy.config.core.v3.HeaderValue
    public enum HeaderValue {
        public static var messageType: MessageType { MessageType(55) }
        public static var key: FieldNumber { 1 }
        public static var value: FieldNumber { 2 }
    }
    /// envoy.config.core.v3.HeaderValueOption
    public enum HeaderValueOption {
        public static var messageType: MessageType { MessageType(56) }
        public static var header: FieldNumber { 1 }
        public static var append: FieldNumber { 2 }
        public static var appendAction: FieldNumber { 3 }
        public static var keepEmptyValue: FieldNumber { 4 }
    }
    /// envoy.extensions.health_check.event_sinks.file.v3.HealthCheckEventFileSink
    public enum HealthCheckEventFileSink {
        public static var messageType: MessageType { MessageType(205) }
        public static var eventLogPath: FieldNumber { 1 }
    }
    /// envoy.config.core.v3.HealthCheck.GrpcHealthCheck
    public enum HealthCheckGrpcHealthCheck {
        public static var messageType: MessageType { MessageType(58) }
        public static var serviceName: FieldNumber { 1 }
        public static var authority: FieldNumber { 2 }
        public static var initialMetadata: FieldNumber { 3 }
    }
    /// envoy.extensions.filters.http.health_check.v3.HealthCheck
    public enum HealthCheckHealthCheck {
        public static var messageType: MessageType { MessageType(176) }
        public static var passThroughMode: FieldNumber { 1 }
        public static var cacheTime: FieldNumber { 3 }
        public static var clusterMinHealthyPercentages: FieldNumber { 4 }
        public static var headers: FieldNumber { 5 }
    }
    /// envoy.config.core.v3.HealthCheck.HttpHealthCheck
    public enum HealthCheckHttpHealthCheck {
        public static var messageType: MessageType { MessageType(59) }
        public static var host: FieldNumber { 1 }
        public static var path: FieldNumber { 2 }
        public static var requestHeadersToAdd: FieldNumber { 6 }
        public static var requestHeadersToRemove: FieldNumber { 8 }
        public static var expectedStatuses: FieldNumber { 9 }
        public static var codecClientType: FieldNumber { 10 }
        public static var retriableStatuses: FieldNumber { 12 }
        public static var method: FieldNumber { 13 }
    }
    /// envoy.config.core.v3.HealthCheck.Payload
    public enum HealthCheckPayload {
        public static var messageType: MessageType { MessageType(60) }
        public static var text: FieldNumber { 1 }
        public static var binary: FieldNumber { 2 }
    }
    /// envoy.config.core.v3.HealthCheck.TcpHealthCheck
    public enum HealthCheckTcpHealthCheck {
        public static var messageType: MessageType { MessageType(61) }
        public static var send: FieldNumber { 1 }
        public static var receive: FieldNumber { 2 }
    }
    /// envoy.config.route.v3.HedgePolicy
    public enum HedgePolicy {
        public static var messageType: MessageType { MessageType(100) }
        public static var hedgeOnPerTryTimeout: FieldNumber { 3 }
    }
    /// envoy.config.core.v3.Http1ProtocolOptions
    public enum Http1ProtocolOptions {
        public static var messageType: MessageType { MessageType(62) }
        public static var acceptHttp10: FieldNumber { 2 }
        public static var defaultHostForHttp10: FieldNumber { 3 }
        public static var headerKeyFormat: FieldNumber { 4 }
        public static var enableTrailers: FieldNumber { 5 }
    }
    /// envoy.config.core.v3.Http1ProtocolOptions.HeaderKeyFormat
    public enum Http1ProtocolOptionsHeaderKeyFormat {
        public static var messageType: MessageType { MessageType(63) }
        public static var properCaseWords: FieldNumber { 1 }
        public static var statefulFormatter: FieldNumber { 8 }
    }
    /// envoy.config.core.v3.Http1ProtocolOptions.HeaderKeyFormat.ProperCaseWords
    public enum Http1ProtocolOptionsHeaderKeyFormatProperCaseWords {
        public static var messageType: MessageType { MessageType(64) }
    }
    /// envoy.config.core.v3.Http2ProtocolOptions
    public enum Http2ProtocolOptions {
        public static var messageType: MessageType { MessageType(65) }
        public static var maxConcurrentStreams: FieldNumber { 2 }
        public static var initialStreamWindowSize: FieldNumber { 3 }
        public static var initialConnectionWindowSize: FieldNumber { 4 }
        public static var allowConnect: FieldNumber { 5 }
        public static var connectionKeepalive: FieldNumber { 15 }
    }
    /// envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
    public enum HttpConnectionManager {
        public static var messageType: MessageType { MessageType(193) }
        public static var codecType: FieldNumber { 1 }
        public static var statPrefix: FieldNumber { 2 }
        public static var rds: FieldNumber { 3 }
        public static var routeConfig: FieldNumber { 4 }
        public static var httpFilters: FieldNumber { 5 }
        public static var tracing: FieldNumber { 7 }
        public static var httpProtocolOptions: FieldNumber { 8 }
        public static var http2ProtocolOptions: FieldNumber { 9 }
        public static var serverName: FieldNumber { 10 }
        public static var drainTimeout: FieldNumber { 12 }
        public static var accessLog: FieldNumber { 13 }
        public static var useRemoteAddress: FieldNumber { 14 }
        public static var generateRequestId: FieldNumber { 15 }
        public static var forwardClientCertDetails: FieldNumber { 16 }
        public static var setCurrentClientCertDetails: FieldNumber { 17 }
        public static var proxy100Continue: FieldNumber { 18 }
        public static var xffNumTrustedHops: FieldNumber { 19 }
        public static var skipXffAppend: FieldNumber { 21 }
        public static var via: FieldNumber { 22 }
        public static var upgradeConfigs: FieldNumber { 23 }
        public static var streamIdleTimeout: FieldNumber { 24 }
        public static var internalAddressConfig: FieldNumber { 25 }
        public static var delayedCloseTimeout: FieldNumber { 26 }
        public static var requestTimeout: FieldNumber { 28 }
        public static var maxRequestHeadersKb: FieldNumber { 29 }
        public static var normalizePath: FieldNumber { 30 }
        public static var preserveExternalRequestId: FieldNumber { 32 }
        public static var mergeSlashes: FieldNumber { 33 }
        public static var serverHeaderTransformation: FieldNumber { 34 }
        public static var commonHttpProtocolOptions: FieldNumber { 35 }
        public static var alwaysSetRequestIdInResponse: FieldNumber { 37 }
        public static var requestHeadersTimeout: FieldNumber { 41 }
        public static var stripAnyHostPort: FieldNumber { 42 }
        public static var pathWithEscapedSlashesAction: FieldNumber { 45 }
        public static var proxyStatusConfig: FieldNumber { 49 }
        public static var appendXForwardedPort: FieldNumber { 51 }
    }
    /// envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.InternalAddressConfig
    public enum HttpConnectionManagerInternalAddressConfig {
        public static var messageType: MessageType { MessageType(194) }
        public static var cidrRanges: FieldNumber { 2 }
    }
    /// envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.ProxyStatusConfig
    public enum HttpConnectionManagerProxyStatusConfig {
        public static var messageType: MessageType { MessageType(195) }
    }
    /// envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.SetCurrentClientCertDetails
    public enum HttpConnectionManagerSetCurrentClientCertDetails {
        public static var messageType: MessageType { MessageType(196) }
        public static var subject: FieldNumber { 1 }
        public static var cert: FieldNumber { 3 }
        public static var dns: FieldNumber { 4 }
        public static var uri: FieldNumber { 5 }
    }
    /// envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.Tracing
    public enum HttpConnectionManagerTracing {
        public static var messageType: MessageType { MessageType(197) }
        public static var clientSampling: FieldNumber { 3 }
        public static var randomSampling: FieldNumber { 4 }
        public static var overallSampling: FieldNumber { 5 }
        public static var maxPathTagLength: FieldNumber { 7 }
        public static var customTags: FieldNumber { 8 }
        public static var provider: FieldNumber { 9 }
        public static var spawnUpstreamSpan: FieldNumber { 10 }
    }
    /// envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.UpgradeConfig
    public enum HttpConnectionManagerUpgradeConfig {
        public static var messageType: MessageType { MessageType(198) }
        public static var upgradeType: FieldNumber { 1 }
        public static var enabled: FieldNumber { 3 }
    }
    /// envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter
    public enum HttpFilter {
        public static var messageType: MessageType { MessageType(199) }
        public static var name: FieldNumber { 1 }
        public static var typedConfig: FieldNumber { 4 }
    }
    /// envoy.extensions.upstreams.http.v3.HttpProtocolOptions.AutoHttpConfig
    public enum HttpProtocolOptionsAutoHttpConfig {
        public static var messageType: MessageType { MessageType(235) }
        public static var httpProtocolOptions: FieldNumber { 1 }
        public static var http2ProtocolOptions: FieldNumber { 2 }
    }
    /// envoy.extensions.upstreams.http.v3.HttpProtocolOptions.ExplicitHttpConfig
    public enum HttpProtocolOptionsExplicitHttpConfig {
        public static var messageType: MessageType { MessageType(236) }
        public static var httpProtocolOptions: FieldNumber { 1 }
        public static var http2ProtocolOptions: FieldNumber { 2 }
    }
    /// envoy.extensions.upstreams.http.v3.HttpProtocolOptions.UseDownstreamHttpConfig
    public enum HttpProtocolOptionsUseDownstreamHttpConfig {
        public static var messageType: MessageType { MessageType(237) }
        public static var httpProtocolOptions: FieldNumber { 1 }
        public static var http2ProtocolOptions: FieldNumber { 2 }
    }
    /// envoy.type.matcher.v3.HttpRequestHeaderMatchInput
    public enum HttpRequestHeaderMatchInput {
        public static var messageType: MessageType { MessageType(252) }
        public static var headerName: FieldNumber { 1 }
    }
    /// envoy.config.core.v3.HttpService
    public enum HttpService {
        public static var messageType: MessageType { MessageType(67) }
        public static var httpUri: FieldNumber { 1 }
        public static var requestHeadersToAdd: FieldNumber { 2 }
    }
    /// envoy.type.v3.HttpStatus
    public enum HttpStatus {
        public static var messageType: MessageType { MessageType(265) }
        public static var code: FieldNumber { 1 }
    }
    /// envoy.config.core.v3.HttpUri
    public enum HttpUri {
        public static var messageType: MessageType { MessageType(68) }
        public static var uri: FieldNumber { 1 }
        public static var cluster: FieldNumber { 2 }
        public static var timeout: FieldNumber { 3 }
    }
    /// envoy.type.v3.Int32Range
    public enum Int32Range {
        public static var messageType: MessageType { MessageType(266) }
        public static var start: FieldNumber { 1 }
        public static var end: FieldNumber { 2 }
    }
    /// google.protobuf.Int32Value
    public enum Int32Value {
        public static var messageType: MessageType { MessageType(279) }
        public static var value: FieldNumber { 1 }
    }
    /// envoy.type.v3.Int64Range
    public enum Int64Range {
        public static var messageType: MessageType { MessageType(267) }
        public static var start: FieldNumber { 1 }
        public static var end: FieldNumber { 2 }
    }
    /// google.protobuf.Int64Value
    public enum Int64Value {
        public static var messageType: MessageType { MessageType(280) }
        public static var value: FieldNumber { 1 }
    }
    /// envoy.config.route.v3.InternalRedirectPolicy
    public enum InternalRedirectPolicy {
        public static var messageType: MessageType { MessageType(101) }
        public static var maxInternalRedirects: FieldNumber { 1 }
        public static var redirectResponseCodes: FieldNumber { 2 }
    }
    /// envoy.config.core.v3.KeepaliveSettings
    public enum KeepaliveSettings {
        public static var messageType: MessageType { MessageType(69) }
        public static var interval: FieldNumber { 1 }
        public static var timeout: FieldNumber { 2 }
    }
    /// envoy.config.bootstrap.v3.LayeredRuntime
    public enum LayeredRuntime {
        public static var messageType: MessageType { MessageType(15) }
        public static var layers: FieldNumber { 1 }
    }
    /// envoy.config.endpoint.v3.LbEndpoint
    public enum LbEndpoint {
        public static var messageType: MessageType { MessageType(89) }
        public static var endpoint: FieldNumber { 1 }
        public static var healthStatus: FieldNumber { 2 }
        public static var metadata: FieldNumber { 3 }
        public static var loadBalancingWeight: FieldNumber { 4 }
    }
    /// envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest
    public enum LeastRequest {
        public static var messageType: MessageType { MessageType(212) }
        public static var choiceCount: FieldNumber { 1 }
        public static var activeRequestBias: FieldNumber { 2 }
        public static var slowStartConfig: FieldNumber { 3 }
        public static var localityLbConfig: FieldNumber { 4 }
        public static var enableFullScan: FieldNumber { 5 }
        public static var selectionMethod: FieldNumber { 6 }
    }
    /// google.protobuf.ListValue
    public enum ListValue {
        public static var messageType: MessageType { MessageType(281) }
        public static var values: FieldNumber { 1 }
    }
    /// envoy.config.listener.v3.Listener
    public enum Listener {
        public static var messageType: MessageType { MessageType(94) }
        public static var name: FieldNumber { 1 }
        public static var address: FieldNumber { 2 }
        public static var filterChains: FieldNumber { 3 }
        public static var useOriginalDst: FieldNumber { 4 }
        public static var perConnectionBufferLimitBytes: FieldNumber { 5 }
        public static var listenerFilters: FieldNumber { 9 }
        public static var trafficDirection: FieldNumber { 16 }
        public static var defaultFilterChain: FieldNumber { 25 }
        public static var bindToPort: FieldNumber { 26 }
    }
    /// envoy.config.listener.v3.ListenerFilter
    public enum ListenerFilter {
        public static var messageType: MessageType { MessageType(95) }
        public static var name: FieldNumber { 1 }
        public static var typedConfig: FieldNumber { 3 }
    }
    /// envoy.config.cluster.v3.LoadBalancingPolicy
    public enum LoadBalancingPolicy {
        public static var messageType: MessageType { MessageType(38) }
        public static var policies: FieldNumber { 1 }
    }
    /// envoy.config.cluster.v3.LoadBalancingPolicy.Policy
    public enum LoadBalancingPolicyPolicy {
        public static var messageType: MessageType { MessageType(39) }
        public static var typedExtensionConfig: FieldNumber { 4 }
    }
    /// envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
    public enum LocalRateLimit {
        public static var messageType: MessageType { MessageType(178) }
        public static var statPrefix: FieldNumber { 1 }
        public static var status: FieldNumber { 2 }
        public static var tokenBucket: FieldNumber { 3 }
        public static var filterEnabled: FieldNumber { 4 }
        public static var filterEnforced: FieldNumber { 5 }
        public static var responseHeadersToAdd: FieldNumber { 6 }
        public static var descriptors: FieldNumber { 8 }
        public static var stage: FieldNumber { 9 }
        public static var requestHeadersToAddWhenNotEnforced: FieldNumber { 10 }
        public static var localRateLimitPerDownstreamConnection: FieldNumber { 11 }
        public static var enableXRatelimitHeaders: FieldNumber { 12 }
        public static var vhRateLimits: FieldNumber { 13 }
        public static var alwaysConsumeDefaultTokenBucket: FieldNumber { 14 }
        public static var rateLimitedAsResourceExhausted: FieldNumber { 15 }
        public static var rateLimits: FieldNumber { 17 }
        public static var maxDynamicDescriptors: FieldNumber { 18 }
    }
    /// envoy.extensions.common.ratelimit.v3.LocalRateLimitDescriptor
    public enum LocalRateLimitDescriptor {
        public static var messageType: MessageType { MessageType(152) }
        public static var entries: FieldNumber { 1 }
        public static var tokenBucket: FieldNumber { 2 }
    }
    /// envoy.config.core.v3.Locality
    public enum Locality {
        public static var messageType: MessageType { MessageType(70) }
        public static var region: FieldNumber { 1 }
        public static var zone: FieldNumber { 2 }
        public static var subZone: FieldNumber { 3 }
    }
    /// envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig
    public enum LocalityLbConfig {
        public static var messageType: MessageType { MessageType(208) }
        public static var zoneAwareLbConfig: FieldNumber { 1 }
        public static var localityWeightedLbConfig: FieldNumber { 2 }
    }
    /// envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig.LocalityWeightedLbConfig
    public enum LocalityLbConfigLocalityWeightedLbConfig {
        public static var messageType: MessageType { MessageType(209) }
    }
    /// envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig.ZoneAwareLbConfig
    public enum LocalityLbConfigZoneAwareLbConfig {
        public static var messageType: MessageType { MessageType(210) }
        public static var routingEnabled: FieldNumber { 1 }
        public static var minClusterSize: FieldNumber { 2 }
        public static var failTrafficOnPanic: FieldNumber { 3 }
        public static var forceLocalityDirectRouting: FieldNumber { 4 }
    }
    /// envoy.config.endpoint.v3.LocalityLbEndpoints
    public enum LocalityLbEndpoints {
        public static var messageType: MessageType { MessageType(90) }
        public static var locality: FieldNumber { 1 }
        public static var lbEndpoints: FieldNumber { 2 }
        public static var loadBalancingWeight: FieldNumber { 3 }
        public static var priority: FieldNumber { 5 }
    }
    /// envoy.extensions.load_balancing_policies.maglev.v3.Maglev
    public enum Maglev {
        public static var messageType: MessageType { MessageType(213) }
        public static var tableSize: FieldNumber { 1 }
        public static var consistentHashingLbConfig: FieldNumber { 2 }
        public static var localityWeightedLbConfig: FieldNumber { 3 }
    }
    /// martlet.v1.CallerIdentity
    public enum MartletCallerIdentity {
        public static var messageType: MessageType { MessageType(291) }
        public static var descriptorKey: FieldNumber { 1 }
    }
    /// martlet.v1.Cluster
    public enum MartletCluster {
        public static var messageType: MessageType { MessageType(292) }
        public static var retryBudget: FieldNumber { 1 }
        public static var breaker: FieldNumber { 2 }
        public static var shadowLimits: FieldNumber { 3 }
        public static var peakEwma: FieldNumber { 4 }
        public static var outliers: FieldNumber { 5 }
        public static var shadowBreaker: FieldNumber { 6 }
        public static var healthCheckMode: FieldNumber { 7 }
        public static var shadowBalancing: FieldNumber { 8 }
    }
    /// martlet.v1.Cluster.Breaker
    public enum MartletClusterBreaker {
        public static var messageType: MessageType { MessageType(293) }
        public static var consecutiveFailures: FieldNumber { 2 }
        public static var failureRate: FieldNumber { 3 }
        public static var slowCallDuration: FieldNumber { 4 }
        public static var slowCallRate: FieldNumber { 5 }
        public static var window: FieldNumber { 6 }
        public static var callsMin: FieldNumber { 7 }
        public static var openDuration: FieldNumber { 8 }
        public static var openDurationGrowth: FieldNumber { 9 }
        public static var openDurationMax: FieldNumber { 10 }
        public static var probes: FieldNumber { 11 }
    }
    /// martlet.v1.Cluster.Limits
    public enum MartletClusterLimits {
        public static var messageType: MessageType { MessageType(294) }
        public static var connections: FieldNumber { 1 }
        public static var pending: FieldNumber { 2 }
        public static var requests: FieldNumber { 3 }
        public static var retries: FieldNumber { 4 }
    }
    /// martlet.v1.Cluster.Outliers
    public enum MartletClusterOutliers {
        public static var messageType: MessageType { MessageType(295) }
        public static var keepLast: FieldNumber { 1 }
        public static var mode: FieldNumber { 2 }
        public static var readsGrpcTrailers: FieldNumber { 3 }
    }
    /// martlet.v1.Cluster.PeakEWMA
    public enum MartletClusterPeakEWMA {
        public static var messageType: MessageType { MessageType(296) }
        public static var decayTime: FieldNumber { 1 }
        public static var latencyDefault: FieldNumber { 2 }
    }
    /// martlet.v1.Cluster.RetryBudget
    public enum MartletClusterRetryBudget {
        public static var messageType: MessageType { MessageType(297) }
        public static var percent: FieldNumber { 1 }
        public static var window: FieldNumber { 2 }
        public static var retriesMin: FieldNumber { 3 }
    }
    /// martlet.v1.Cluster.ShadowBalancing
    public enum MartletClusterShadowBalancing {
        public static var messageType: MessageType { MessageType(298) }
        public static var algorithm: FieldNumber { 1 }
        public static var choices: FieldNumber { 2 }
        public static var peakEwma: FieldNumber { 3 }
    }
    /// martlet.v1.CountedLog
    public enum MartletCountedLog {
        public static var messageType: MessageType { MessageType(299) }
    }
    /// martlet.v1.Manifest
    public enum MartletManifest {
        public static var messageType: MessageType { MessageType(300) }
        public static var service: FieldNumber { 1 }
        public static var resources: FieldNumber { 2 }
    }
    /// martlet.v1.Manifest.Resource
    public enum MartletManifestResource {
        public static var messageType: MessageType { MessageType(301) }
        public static var typeUrl: FieldNumber { 1 }
        public static var name: FieldNumber { 2 }
        public static var digest: FieldNumber { 3 }
    }
    /// martlet.v1.PlainText
    public enum MartletPlainText {
        public static var messageType: MessageType { MessageType(302) }
        public static var refusedInShadow: FieldNumber { 1 }
    }
    /// martlet.v1.Policy
    public enum MartletPolicy {
        public static var messageType: MessageType { MessageType(303) }
        public static var traceContext: FieldNumber { 1 }
        public static var ignoreUnknownUpgrades: FieldNumber { 2 }
        public static var sendProxyStatus: FieldNumber { 3 }
        public static var sendRetryAfter: FieldNumber { 4 }
        public static var trustsLocalControls: FieldNumber { 5 }
        public static var adaptiveConcurrencyMode: FieldNumber { 6 }
        public static var admissionControlMode: FieldNumber { 7 }
        public static var shadowFaults: FieldNumber { 8 }
    }
    /// martlet.v1.Policy.TraceContext
    public enum MartletPolicyTraceContext {
        public static var messageType: MessageType { MessageType(304) }
        public static var sampled: FieldNumber { 1 }
        public static var startW3c: FieldNumber { 2 }
        public static var startB3: FieldNumber { 3 }
        public static var shadowSampled: FieldNumber { 4 }
    }
    /// martlet.v1.Route
    public enum MartletRoute {
        public static var messageType: MessageType { MessageType(305) }
        public static var retry: FieldNumber { 1 }
        public static var propagateDeadline: FieldNumber { 2 }
        public static var shadow: FieldNumber { 3 }
    }
    /// martlet.v1.Route.Retry
    public enum MartletRouteRetry {
        public static var messageType: MessageType { MessageType(306) }
        public static var provablySafe: FieldNumber { 1 }
        public static var methods: FieldNumber { 2 }
        public static var idempotencyHeader: FieldNumber { 3 }
    }
    /// martlet.v1.Route.Shadow
    public enum MartletRouteShadow {
        public static var messageType: MessageType { MessageType(307) }
        public static var retryOn: FieldNumber { 1 }
        public static var numRetries: FieldNumber { 2 }
        public static var retriableStatusCodes: FieldNumber { 3 }
        public static var retry: FieldNumber { 4 }
        public static var timeout: FieldNumber { 5 }
        public static var perTryTimeout: FieldNumber { 6 }
    }
    /// martlet.ca.v1.SignRequest
    public enum MartletSignRequest {
        public static var messageType: MessageType { MessageType(289) }
        public static var csrDer: FieldNumber { 1 }
        public static var joinToken: FieldNumber { 2 }
        public static var service: FieldNumber { 3 }
    }
    /// martlet.ca.v1.SignResponse
    public enum MartletSignResponse {
        public static var messageType: MessageType { MessageType(290) }
        public static var certificateChainPem: FieldNumber { 1 }
        public static var trustBundlePem: FieldNumber { 2 }
    }
    /// martlet.v1.SignedManifest
    public enum MartletSignedManifest {
        public static var messageType: MessageType { MessageType(308) }
        public static var name: FieldNumber { 1 }
        public static var manifest: FieldNumber { 2 }
        public static var signature: FieldNumber { 3 }
    }
    /// envoy.config.core.v3.Metadata
    public enum Metadata {
        public static var messageType: MessageType { MessageType(71) }
        public static var filterMetadata: FieldNumber { 1 }
    }
    /// envoy.type.metadata.v3.MetadataKey
    public enum MetadataKey {
        public static var messageType: MessageType { MessageType(256) }
        public static var key: FieldNumber { 1 }
        public static var path: FieldNumber { 2 }
    }
    /// envoy.type.metadata.v3.MetadataKey.PathSegment
    public enum MetadataKeyPathSegment {
        public static var messageType: MessageType { MessageType(257) }
        public static var key: FieldNumber { 1 }
    }
    /// envoy.config.common.mutation_rules.v3.HeaderMutation
    public enum MutationRulesHeaderMutation {
        public static var messageType: MessageType { MessageType(41) }
        public static var remove: FieldNumber { 1 }
        public static var append: FieldNumber { 2 }
        public static var removeOnMatch: FieldNumber { 3 }
    }
    /// envoy.extensions.filters.http.header_mutation.v3.Mutations
    public enum Mutations {
        public static var messageType: MessageType { MessageType(175) }
        public static var requestMutations: FieldNumber { 1 }
        public static var responseMutations: FieldNumber { 2 }
    }
    /// envoy.config.core.v3.Node
    public enum Node {
        public static var messageType: MessageType { MessageType(73) }
        public static var id: FieldNumber { 1 }
        public static var cluster: FieldNumber { 2 }
        public static var metadata: FieldNumber { 3 }
        public static var locality: FieldNumber { 4 }
        public static var userAgentName: FieldNumber { 6 }
        public static var userAgentVersion: FieldNumber { 7 }
        public static var userAgentBuildVersion: FieldNumber { 8 }
        public static var extensions: FieldNumber { 9 }
        public static var clientFeatures: FieldNumber { 10 }
    }
    /// envoy.config.accesslog.v3.NotHealthCheckFilter
    public enum NotHealthCheckFilter {
        public static var messageType: MessageType { MessageType(6) }
    }
    /// envoy.extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate
    public enum OmitCanaryHostsPredicate {
        public static var messageType: MessageType { MessageType(219) }
    }
    /// envoy.extensions.retry.host.omit_host_metadata.v3.OmitHostMetadataConfig
    public enum OmitHostMetadataConfig {
        public static var messageType: MessageType { MessageType(220) }
        public static var metadataMatch: FieldNumber { 1 }
    }
    /// envoy.config.trace.v3.OpenTelemetryConfig
    public enum OpenTelemetryConfig {
        public static var messageType: MessageType { MessageType(146) }
        public static var grpcService: FieldNumber { 1 }
        public static var serviceName: FieldNumber { 2 }
        public static var httpService: FieldNumber { 3 }
    }
    /// envoy.config.accesslog.v3.OrFilter
    public enum OrFilter {
        public static var messageType: MessageType { MessageType(7) }
        public static var filters: FieldNumber { 2 }
    }
    /// envoy.extensions.filters.listener.original_dst.v3.OriginalDst
    public enum OriginalDst {
        public static var messageType: MessageType { MessageType(191) }
    }
    /// envoy.config.cluster.v3.OutlierDetection
    public enum OutlierDetection {
        public static var messageType: MessageType { MessageType(40) }
        public static var consecutive5xx: FieldNumber { 1 }
        public static var interval: FieldNumber { 2 }
        public static var baseEjectionTime: FieldNumber { 3 }
        public static var maxEjectionPercent: FieldNumber { 4 }
        public static var enforcingConsecutive5xx: FieldNumber { 5 }
        public static var enforcingSuccessRate: FieldNumber { 6 }
        public static var successRateMinimumHosts: FieldNumber { 7 }
        public static var successRateRequestVolume: FieldNumber { 8 }
        public static var successRateStdevFactor: FieldNumber { 9 }
        public static var consecutiveGatewayFailure: FieldNumber { 10 }
        public static var enforcingConsecutiveGatewayFailure: FieldNumber { 11 }
        public static var splitExternalLocalOriginErrors: FieldNumber { 12 }
        public static var consecutiveLocalOriginFailure: FieldNumber { 13 }
        public static var enforcingConsecutiveLocalOriginFailure: FieldNumber { 14 }
        public static var enforcingLocalOriginSuccessRate: FieldNumber { 15 }
        public static var failurePercentageThreshold: FieldNumber { 16 }
        public static var enforcingFailurePercentage: FieldNumber { 17 }
        public static var enforcingFailurePercentageLocalOrigin: FieldNumber { 18 }
        public static var failurePercentageMinimumHosts: FieldNumber { 19 }
        public static var failurePercentageRequestVolume: FieldNumber { 20 }
        public static var maxEjectionTime: FieldNumber { 21 }
        public static var maxEjectionTimeJitter: FieldNumber { 22 }
        public static var successfulActiveHealthCheckUnejectHost: FieldNumber { 23 }
        public static var alwaysEjectOneHost: FieldNumber { 25 }
    }
    /// envoy.type.v3.Percent
    public enum Percent {
        public static var messageType: MessageType { MessageType(268) }
        public static var value: FieldNumber { 1 }
    }
    /// envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig
    public enum PreserveCaseFormatterConfig {
        public static var messageType: MessageType { MessageType(206) }
    }
    /// envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate
    public enum PreviousHostsPredicate {
        public static var messageType: MessageType { MessageType(221) }
    }
    /// envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig
    public enum PreviousPrioritiesConfig {
        public static var messageType: MessageType { MessageType(222) }
        public static var updateFrequency: FieldNumber { 1 }
    }
    /// envoy.config.route.v3.QueryParameterMatcher
    public enum QueryParameterMatcher {
        public static var messageType: MessageType { MessageType(102) }
        public static var name: FieldNumber { 1 }
        public static var stringMatch: FieldNumber { 5 }
        public static var presentMatch: FieldNumber { 6 }
    }
    /// envoy.extensions.load_balancing_policies.random.v3.Random
    public enum Random {
        public static var messageType: MessageType { MessageType(214) }
        public static var localityLbConfig: FieldNumber { 1 }
    }
    /// envoy.config.route.v3.RateLimit
    public enum RateLimit {
        public static var messageType: MessageType { MessageType(103) }
        public static var stage: FieldNumber { 1 }
        public static var disableKey: FieldNumber { 2 }
        public static var actions: FieldNumber { 3 }
        public static var hitsAddend: FieldNumber { 5 }
    }
    /// envoy.config.route.v3.RateLimit.Action
    public enum RateLimitAction {
        public static var messageType: MessageType { MessageType(104) }
        public static var sourceCluster: FieldNumber { 1 }
        public static var destinationCluster: FieldNumber { 2 }
        public static var requestHeaders: FieldNumber { 3 }
        public static var remoteAddress: FieldNumber { 4 }
        public static var genericKey: FieldNumber { 5 }
        public static var headerValueMatch: FieldNumber { 6 }
        public static var metadata: FieldNumber { 8 }
        public static var `extension`: FieldNumber { 9 }
        public static var maskedRemoteAddress: FieldNumber { 10 }
        public static var queryParameterValueMatch: FieldNumber { 11 }
        public static var queryParameters: FieldNumber { 12 }
    }
    /// envoy.config.route.v3.RateLimit.Action.DestinationCluster
    public enum RateLimitActionDestinationCluster {
        public static var messageType: MessageType { MessageType(105) }
    }
    /// envoy.config.route.v3.RateLimit.Action.GenericKey
    public enum RateLimitActionGenericKey {
        public static var messageType: MessageType { MessageType(106) }
        public static var descriptorValue: FieldNumber { 1 }
        public static var descriptorKey: FieldNumber { 2 }
    }
    /// envoy.config.route.v3.RateLimit.Action.HeaderValueMatch
    public enum RateLimitActionHeaderValueMatch {
        public static var messageType: MessageType { MessageType(107) }
        public static var descriptorValue: FieldNumber { 1 }
        public static var expectMatch: FieldNumber { 2 }
        public static var headers: FieldNumber { 3 }
        public static var descriptorKey: FieldNumber { 4 }
    }
    /// envoy.config.route.v3.RateLimit.Action.MaskedRemoteAddress
    public enum RateLimitActionMaskedRemoteAddress {
        public static var messageType: MessageType { MessageType(108) }
        public static var v4PrefixMaskLen: FieldNumber { 1 }
        public static var v6PrefixMaskLen: FieldNumber { 2 }
    }
    /// envoy.config.route.v3.RateLimit.Action.MetaData
    public enum RateLimitActionMetaData {
        public static var messageType: MessageType { MessageType(109) }
        public static var descriptorKey: FieldNumber { 1 }
        public static var metadataKey: FieldNumber { 2 }
        public static var defaultValue: FieldNumber { 3 }
        public static var source: FieldNumber { 4 }
        public static var skipIfAbsent: FieldNumber { 5 }
    }
    /// envoy.config.route.v3.RateLimit.Action.QueryParameterValueMatch
    public enum RateLimitActionQueryParameterValueMatch {
        public static var messageType: MessageType { MessageType(110) }
        public static var descriptorValue: FieldNumber { 1 }
        public static var expectMatch: FieldNumber { 2 }
        public static var queryParameters: FieldNumber { 3 }
        public static var descriptorKey: FieldNumber { 4 }
    }
    /// envoy.config.route.v3.RateLimit.Action.QueryParameters
    public enum RateLimitActionQueryParameters {
        public static var messageType: MessageType { MessageType(111) }
        public static var queryParameterName: FieldNumber { 1 }
        public static var descriptorKey: FieldNumber { 2 }
        public static var skipIfAbsent: FieldNumber { 3 }
    }
    /// envoy.config.route.v3.RateLimit.Action.RemoteAddress
    public enum RateLimitActionRemoteAddress {
        public static var messageType: MessageType { MessageType(112) }
    }
    /// envoy.config.route.v3.RateLimit.Action.RequestHeaders
    public enum RateLimitActionRequestHeaders {
        public static var messageType: MessageType { MessageType(113) }
        public static var headerName: FieldNumber { 1 }
        public static var descriptorKey: FieldNumber { 2 }
        public static var skipIfAbsent: FieldNumber { 3 }
    }
    /// envoy.config.route.v3.RateLimit.Action.SourceCluster
    public enum RateLimitActionSourceCluster {
        public static var messageType: MessageType { MessageType(114) }
    }
    /// envoy.extensions.common.ratelimit.v3.RateLimitDescriptor
    public enum RateLimitDescriptor {
        public static var messageType: MessageType { MessageType(153) }
        public static var entries: FieldNumber { 1 }
    }
    /// envoy.extensions.common.ratelimit.v3.RateLimitDescriptor.Entry
    public enum RateLimitDescriptorEntry {
        public static var messageType: MessageType { MessageType(154) }
        public static var key: FieldNumber { 1 }
        public static var value: FieldNumber { 2 }
    }
    /// envoy.config.route.v3.RateLimit.HitsAddend
    public enum RateLimitHitsAddend {
        public static var messageType: MessageType { MessageType(115) }
        public static var number: FieldNumber { 1 }
    }
    /// envoy.extensions.filters.http.ratelimit.v3.RateLimitPerRoute
    public enum RateLimitPerRoute {
        public static var messageType: MessageType { MessageType(189) }
        public static var vhRateLimits: FieldNumber { 1 }
        public static var rateLimits: FieldNumber { 3 }
        public static var domain: FieldNumber { 4 }
    }
    /// envoy.extensions.filters.http.rate_limit_quota.v3.RateLimitQuotaBucketSettings
    public enum RateLimitQuotaBucketSettings {
        public static var messageType: MessageType { MessageType(179) }
        public static var bucketIdBuilder: FieldNumber { 1 }
        public static var reportingInterval: FieldNumber { 2 }
        public static var denyResponseSettings: FieldNumber { 3 }
        public static var noAssignmentBehavior: FieldNumber { 4 }
        public static var expiredAssignmentBehavior: FieldNumber { 5 }
    }
    /// envoy.extensions.filters.http.rate_limit_quota.v3.RateLimitQuotaBucketSettings.BucketIdBuilder
    public enum RateLimitQuotaBucketSettingsBucketIdBuilder {
        public static var messageType: MessageType { MessageType(180) }
        public static var bucketIdBuilder: FieldNumber { 1 }
    }
    /// envoy.extensions.filters.http.rate_limit_quota.v3.RateLimitQuotaBucketSettings.BucketIdBuilder.ValueBuilder
    public enum RateLimitQuotaBucketSettingsBucketIdBuilderValueBuilder {
        public static var messageType: MessageType { MessageType(182) }
        public static var stringValue: FieldNumber { 1 }
        public static var customValue: FieldNumber { 2 }
    }
    /// envoy.extensions.filters.http.rate_limit_quota.v3.RateLimitQuotaBucketSettings.DenyResponseSettings
    public enum RateLimitQuotaBucketSettingsDenyResponseSettings {
        public static var messageType: MessageType { MessageType(183) }
        public static var httpStatus: FieldNumber { 1 }
        public static var httpBody: FieldNumber { 2 }
        public static var grpcStatus: FieldNumber { 3 }
        public static var responseHeadersToAdd: FieldNumber { 4 }
    }
    /// envoy.extensions.filters.http.rate_limit_quota.v3.RateLimitQuotaBucketSettings.ExpiredAssignmentBehavior
    public enum RateLimitQuotaBucketSettingsExpiredAssignmentBehavior {
        public static var messageType: MessageType { MessageType(184) }
        public static var expiredAssignmentBehaviorTimeout: FieldNumber { 1 }
        public static var fallbackRateLimit: FieldNumber { 2 }
        public static var reuseLastAssignment: FieldNumber { 3 }
    }
    /// envoy.extensions.filters.http.rate_limit_quota.v3.RateLimitQuotaBucketSettings.ExpiredAssignmentBehavior.ReuseLastAssignment
    public enum RateLimitQuotaBucketSettingsExpiredAssignmentBehaviorReuseLastAssignment {
        public static var messageType: MessageType { MessageType(185) }
    }
    /// envoy.extensions.filters.http.rate_limit_quota.v3.RateLimitQuotaBucketSettings.NoAssignmentBehavior
    public enum RateLimitQuotaBucketSettingsNoAssignmentBehavior {
        public static var messageType: MessageType { MessageType(186) }
        public static var fallbackRateLimit: FieldNumber { 1 }
    }
    /// envoy.extensions.filters.http.rate_limit_quota.v3.RateLimitQuotaFilterConfig
    public enum RateLimitQuotaFilterConfig {
        public static var messageType: MessageType { MessageType(187) }
        public static var rlqsServer: FieldNumber { 1 }
        public static var domain: FieldNumber { 2 }
        public static var bucketMatchers: FieldNumber { 3 }
        public static var filterEnabled: FieldNumber { 4 }
        public static var filterEnforced: FieldNumber { 5 }
        public static var requestHeadersToAddWhenNotEnforced: FieldNumber { 6 }
    }
    /// envoy.service.rate_limit_quota.v3.RateLimitQuotaResponse
    public enum RateLimitQuotaResponse {
        public static var messageType: MessageType { MessageType(246) }
        public static var bucketAction: FieldNumber { 1 }
    }
    /// envoy.service.rate_limit_quota.v3.RateLimitQuotaResponse.BucketAction
    public enum RateLimitQuotaResponseBucketAction {
        public static var messageType: MessageType { MessageType(247) }
        public static var bucketId: FieldNumber { 1 }
        public static var quotaAssignmentAction: FieldNumber { 2 }
        public static var abandonAction: FieldNumber { 3 }
    }
    /// envoy.service.rate_limit_quota.v3.RateLimitQuotaResponse.BucketAction.AbandonAction
    public enum RateLimitQuotaResponseBucketActionAbandonAction {
        public static var messageType: MessageType { MessageType(248) }
    }
    /// envoy.service.rate_limit_quota.v3.RateLimitQuotaResponse.BucketAction.QuotaAssignmentAction
    public enum RateLimitQuotaResponseBucketActionQuotaAssignmentAction {
        public static var messageType: MessageType { MessageType(249) }
        public static var assignmentTimeToLive: FieldNumber { 2 }
        public static var rateLimitStrategy: FieldNumber { 3 }
    }
    /// envoy.service.rate_limit_quota.v3.RateLimitQuotaUsageReports
    public enum RateLimitQuotaUsageReports {
        public static var messageType: MessageType { MessageType(250) }
        public static var domain: FieldNumber { 1 }
        public static var bucketQuotaUsages: FieldNumber { 2 }
    }
    /// envoy.service.rate_limit_quota.v3.RateLimitQuotaUsageReports.BucketQuotaUsage
    public enum RateLimitQuotaUsageReportsBucketQuotaUsage {
        public static var messageType: MessageType { MessageType(251) }
        public static var bucketId: FieldNumber { 1 }
        public static var timeElapsed: FieldNumber { 2 }
        public static var numRequestsAllowed: FieldNumber { 3 }
        public static var numRequestsDenied: FieldNumber { 4 }
    }
    /// envoy.config.ratelimit.v3.RateLimitServiceConfig
    public enum RateLimitServiceConfig {
        public static var messageType: MessageType { MessageType(96) }
        public static var grpcService: FieldNumber { 2 }
        public static var transportApiVersion: FieldNumber { 4 }
    }
    /// envoy.type.v3.RateLimitStrategy
    public enum RateLimitStrategy {
        public static var messageType: MessageType { MessageType(269) }
        public static var blanketRule: FieldNumber { 1 }
        public static var requestsPerTimeUnit: FieldNumber { 2 }
        public static var tokenBucket: FieldNumber { 3 }
    }
    /// envoy.type.v3.RateLimitStrategy.RequestsPerTimeUnit
    public enum RateLimitStrategyRequestsPerTimeUnit {
        public static var messageType: MessageType { MessageType(270) }
        public static var requestsPerTimeUnit: FieldNumber { 1 }
        public static var timeUnit: FieldNumber { 2 }
    }
    /// envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer
    public enum RawBuffer {
        public static var messageType: MessageType { MessageType(223) }
    }
    /// envoy.extensions.filters.network.http_connection_manager.v3.Rds
    public enum Rds {
        public static var messageType: MessageType { MessageType(200) }
        public static var configSource: FieldNumber { 1 }
        public static var routeConfigName: FieldNumber { 2 }
    }
    /// envoy.config.route.v3.RedirectAction
    public enum RedirectAction {
        public static var messageType: MessageType { MessageType(116) }
        public static var hostRedirect: FieldNumber { 1 }
        public static var pathRedirect: FieldNumber { 2 }
        public static var responseCode: FieldNumber { 3 }
        public static var httpsRedirect: FieldNumber { 4 }
        public static var prefixRewrite: FieldNumber { 5 }
        public static var stripQuery: FieldNumber { 6 }
        public static var schemeRedirect: FieldNumber { 7 }
        public static var portRedirect: FieldNumber { 8 }
        public static var regexRewrite: FieldNumber { 9 }
    }
    /// envoy.type.matcher.v3.RegexMatchAndSubstitute
    public enum RegexMatchAndSubstitute {
        public static var messageType: MessageType { MessageType(253) }
        public static var pattern: FieldNumber { 1 }
        public static var substitution: FieldNumber { 2 }
    }
    /// envoy.type.matcher.v3.RegexMatcher
    public enum RegexMatcher {
        public static var messageType: MessageType { MessageType(254) }
        public static var regex: FieldNumber { 2 }
    }
    /// envoy.service.discovery.v3.Resource
    public enum Resource {
        public static var messageType: MessageType { MessageType(243) }
        public static var version: FieldNumber { 1 }
        public static var resource: FieldNumber { 2 }
        public static var name: FieldNumber { 3 }
    }
    /// envoy.config.accesslog.v3.ResponseFlagFilter
    public enum ResponseFlagFilter {
        public static var messageType: MessageType { MessageType(8) }
        public static var flags: FieldNumber { 1 }
    }
    /// envoy.config.route.v3.RetryPolicy
    public enum RetryPolicy {
        public static var messageType: MessageType { MessageType(117) }
        public static var retryOn: FieldNumber { 1 }
        public static var numRetries: FieldNumber { 2 }
        public static var perTryTimeout: FieldNumber { 3 }
        public static var retryPriority: FieldNumber { 4 }
        public static var retryHostPredicate: FieldNumber { 5 }
        public static var hostSelectionRetryMaxAttempts: FieldNumber { 6 }
        public static var retriableStatusCodes: FieldNumber { 7 }
        public static var retryBackOff: FieldNumber { 8 }
        public static var retriableHeaders: FieldNumber { 9 }
        public static var retriableRequestHeaders: FieldNumber { 10 }
        public static var rateLimitedRetryBackOff: FieldNumber { 11 }
        public static var perTryIdleTimeout: FieldNumber { 13 }
    }
    /// envoy.config.route.v3.RetryPolicy.RateLimitedRetryBackOff
    public enum RetryPolicyRateLimitedRetryBackOff {
        public static var messageType: MessageType { MessageType(118) }
        public static var resetHeaders: FieldNumber { 1 }
        public static var maxInterval: FieldNumber { 2 }
    }
    /// envoy.config.route.v3.RetryPolicy.ResetHeader
    public enum RetryPolicyResetHeader {
        public static var messageType: MessageType { MessageType(119) }
        public static var name: FieldNumber { 1 }
        public static var format: FieldNumber { 2 }
    }
    /// envoy.config.route.v3.RetryPolicy.RetryBackOff
    public enum RetryPolicyRetryBackOff {
        public static var messageType: MessageType { MessageType(120) }
        public static var baseInterval: FieldNumber { 1 }
        public static var maxInterval: FieldNumber { 2 }
    }
    /// envoy.config.route.v3.RetryPolicy.RetryHostPredicate
    public enum RetryPolicyRetryHostPredicate {
        public static var messageType: MessageType { MessageType(121) }
        public static var name: FieldNumber { 1 }
        public static var typedConfig: FieldNumber { 3 }
    }
    /// envoy.config.route.v3.RetryPolicy.RetryPriority
    public enum RetryPolicyRetryPriority {
        public static var messageType: MessageType { MessageType(122) }
        public static var name: FieldNumber { 1 }
        public static var typedConfig: FieldNumber { 3 }
    }
    /// envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash
    public enum RingHash {
        public static var messageType: MessageType { MessageType(215) }
        public static var hashFunction: FieldNumber { 1 }
        public static var minimumRingSize: FieldNumber { 2 }
        public static var maximumRingSize: FieldNumber { 3 }
        public static var consistentHashingLbConfig: FieldNumber { 6 }
        public static var localityWeightedLbConfig: FieldNumber { 7 }
    }
    /// envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin
    public enum RoundRobin {
        public static var messageType: MessageType { MessageType(216) }
        public static var slowStartConfig: FieldNumber { 1 }
        public static var localityLbConfig: FieldNumber { 2 }
    }
    /// envoy.config.route.v3.Route
    public enum Route {
        public static var messageType: MessageType { MessageType(123) }
        public static var `match`: FieldNumber { 1 }
        public static var route: FieldNumber { 2 }
        public static var redirect: FieldNumber { 3 }
        public static var metadata: FieldNumber { 4 }
        public static var decorator: FieldNumber { 5 }
        public static var directResponse: FieldNumber { 7 }
        public static var requestHeadersToAdd: FieldNumber { 9 }
        public static var responseHeadersToAdd: FieldNumber { 10 }
        public static var responseHeadersToRemove: FieldNumber { 11 }
        public static var requestHeadersToRemove: FieldNumber { 12 }
        public static var typedPerFilterConfig: FieldNumber { 13 }
        public static var name: FieldNumber { 14 }
        public static var tracing: FieldNumber { 15 }
    }
    /// envoy.config.route.v3.RouteAction
    public enum RouteAction {
        public static var messageType: MessageType { MessageType(125) }
        public static var cluster: FieldNumber { 1 }
        public static var clusterHeader: FieldNumber { 2 }
        public static var weightedClusters: FieldNumber { 3 }
        public static var metadataMatch: FieldNumber { 4 }
        public static var prefixRewrite: FieldNumber { 5 }
        public static var hostRewriteLiteral: FieldNumber { 6 }
        public static var autoHostRewrite: FieldNumber { 7 }
        public static var timeout: FieldNumber { 8 }
        public static var retryPolicy: FieldNumber { 9 }
        public static var priority: FieldNumber { 11 }
        public static var rateLimits: FieldNumber { 13 }
        public static var includeVhRateLimits: FieldNumber { 14 }
        public static var hashPolicy: FieldNumber { 15 }
        public static var clusterNotFoundResponseCode: FieldNumber { 20 }
        public static var idleTimeout: FieldNumber { 24 }
        public static var upgradeConfigs: FieldNumber { 25 }
        public static var hedgePolicy: FieldNumber { 27 }
        public static var hostRewriteHeader: FieldNumber { 29 }
        public static var requestMirrorPolicies: FieldNumber { 30 }
        public static var regexRewrite: FieldNumber { 32 }
        public static var internalRedirectPolicy: FieldNumber { 34 }
        public static var hostRewritePathRegex: FieldNumber { 35 }
        public static var maxStreamDuration: FieldNumber { 36 }
        public static var appendXForwardedHost: FieldNumber { 38 }
    }
    /// envoy.config.route.v3.RouteAction.HashPolicy
    public enum RouteActionHashPolicy {
        public static var messageType: MessageType { MessageType(126) }
        public static var header: FieldNumber { 1 }
        public static var cookie: FieldNumber { 2 }
        public static var connectionProperties: FieldNumber { 3 }
        public static var terminal: FieldNumber { 4 }
        public static var queryParameter: FieldNumber { 5 }
    }
    /// envoy.config.route.v3.RouteAction.HashPolicy.ConnectionProperties
    public enum RouteActionHashPolicyConnectionProperties {
        public static var messageType: MessageType { MessageType(127) }
        public static var sourceIp: FieldNumber { 1 }
    }
    /// envoy.config.route.v3.RouteAction.HashPolicy.Cookie
    public enum RouteActionHashPolicyCookie {
        public static var messageType: MessageType { MessageType(128) }
        public static var name: FieldNumber { 1 }
        public static var ttl: FieldNumber { 2 }
        public static var path: FieldNumber { 3 }
        public static var attributes: FieldNumber { 4 }
    }
    /// envoy.config.route.v3.RouteAction.HashPolicy.CookieAttribute
    public enum RouteActionHashPolicyCookieAttribute {
        public static var messageType: MessageType { MessageType(129) }
        public static var name: FieldNumber { 1 }
        public static var value: FieldNumber { 2 }
    }
    /// envoy.config.route.v3.RouteAction.HashPolicy.Header
    public enum RouteActionHashPolicyHeader {
        public static var messageType: MessageType { MessageType(130) }
        public static var headerName: FieldNumber { 1 }
        public static var regexRewrite: FieldNumber { 2 }
    }
    /// envoy.config.route.v3.RouteAction.HashPolicy.QueryParameter
    public enum RouteActionHashPolicyQueryParameter {
        public static var messageType: MessageType { MessageType(131) }
        public static var name: FieldNumber { 1 }
    }
    /// envoy.config.route.v3.RouteAction.MaxStreamDuration
    public enum RouteActionMaxStreamDuration {
        public static var messageType: MessageType { MessageType(132) }
        public static var maxStreamDuration: FieldNumber { 1 }
        public static var grpcTimeoutHeaderMax: FieldNumber { 2 }
        public static var grpcTimeoutHeaderOffset: FieldNumber { 3 }
    }
    /// envoy.config.route.v3.RouteAction.RequestMirrorPolicy
    public enum RouteActionRequestMirrorPolicy {
        public static var messageType: MessageType { MessageType(133) }
        public static var cluster: FieldNumber { 1 }
        public static var runtimeFraction: FieldNumber { 3 }
        public static var clusterHeader: FieldNumber { 5 }
        public static var disableShadowHostSuffixAppend: FieldNumber { 6 }
    }
    /// envoy.config.route.v3.RouteAction.UpgradeConfig
    public enum RouteActionUpgradeConfig {
        public static var messageType: MessageType { MessageType(134) }
        public static var upgradeType: FieldNumber { 1 }
        public static var enabled: FieldNumber { 2 }
        public static var connectConfig: FieldNumber { 3 }
    }
    /// envoy.config.route.v3.RouteAction.UpgradeConfig.ConnectConfig
    public enum RouteActionUpgradeConfigConnectConfig {
        public static var messageType: MessageType { MessageType(135) }
    }
    /// envoy.config.route.v3.RouteConfiguration
    public enum RouteConfiguration {
        public static var messageType: MessageType { MessageType(136) }
        public static var name: FieldNumber { 1 }
        public static var virtualHosts: FieldNumber { 2 }
        public static var responseHeadersToAdd: FieldNumber { 4 }
        public static var responseHeadersToRemove: FieldNumber { 5 }
        public static var requestHeadersToAdd: FieldNumber { 6 }
        public static var validateClusters: FieldNumber { 7 }
        public static var requestHeadersToRemove: FieldNumber { 8 }
        public static var mostSpecificHeaderMutationsWins: FieldNumber { 10 }
        public static var ignorePortInHostMatching: FieldNumber { 14 }
    }
    /// envoy.config.route.v3.RouteMatch
    public enum RouteMatch {
        public static var messageType: MessageType { MessageType(137) }
        public static var `prefix`: FieldNumber { 1 }
        public static var path: FieldNumber { 2 }
        public static var caseSensitive: FieldNumber { 4 }
        public static var headers: FieldNumber { 6 }
        public static var queryParameters: FieldNumber { 7 }
        public static var grpc: FieldNumber { 8 }
        public static var runtimeFraction: FieldNumber { 9 }
        public static var safeRegex: FieldNumber { 10 }
        public static var connectMatcher: FieldNumber { 12 }
        public static var pathSeparatedPrefix: FieldNumber { 14 }
    }
    /// envoy.config.route.v3.RouteMatch.ConnectMatcher
    public enum RouteMatchConnectMatcher {
        public static var messageType: MessageType { MessageType(138) }
    }
    /// envoy.config.route.v3.RouteMatch.GrpcRouteMatchOptions
    public enum RouteMatchGrpcRouteMatchOptions {
        public static var messageType: MessageType { MessageType(139) }
    }
    /// envoy.config.route.v3.Tracing
    public enum RouteTracing {
        public static var messageType: MessageType { MessageType(140) }
        public static var clientSampling: FieldNumber { 1 }
        public static var randomSampling: FieldNumber { 2 }
        public static var overallSampling: FieldNumber { 3 }
        public static var customTags: FieldNumber { 4 }
    }
    /// envoy.extensions.filters.http.router.v3.Router
    public enum Router {
        public static var messageType: MessageType { MessageType(190) }
        public static var suppressEnvoyHeaders: FieldNumber { 4 }
        public static var respectExpectedRqTimeout: FieldNumber { 6 }
    }
    /// envoy.config.core.v3.RuntimeDouble
    public enum RuntimeDouble {
        public static var messageType: MessageType { MessageType(74) }
        public static var defaultValue: FieldNumber { 1 }
        public static var runtimeKey: FieldNumber { 2 }
    }
    /// envoy.config.core.v3.RuntimeFeatureFlag
    public enum RuntimeFeatureFlag {
        public static var messageType: MessageType { MessageType(75) }
        public static var defaultValue: FieldNumber { 1 }
        public static var runtimeKey: FieldNumber { 2 }
    }
    /// envoy.config.core.v3.RuntimeFractionalPercent
    public enum RuntimeFractionalPercent {
        public static var messageType: MessageType { MessageType(76) }
        public static var defaultValue: FieldNumber { 1 }
        public static var runtimeKey: FieldNumber { 2 }
    }
    /// envoy.config.bootstrap.v3.RuntimeLayer
    public enum RuntimeLayer {
        public static var messageType: MessageType { MessageType(16) }
        public static var name: FieldNumber { 1 }
        public static var staticLayer: FieldNumber { 2 }
        public static var adminLayer: FieldNumber { 4 }
    }
    /// envoy.config.bootstrap.v3.RuntimeLayer.AdminLayer
    public enum RuntimeLayerAdminLayer {
        public static var messageType: MessageType { MessageType(17) }
    }
    /// envoy.config.core.v3.RuntimePercent
    public enum RuntimePercent {
        public static var messageType: MessageType { MessageType(77) }
        public static var defaultValue: FieldNumber { 1 }
        public static var runtimeKey: FieldNumber { 2 }
    }
    /// envoy.config.core.v3.RuntimeUInt32
    public enum RuntimeUInt32 {
        public static var messageType: MessageType { MessageType(78) }
        public static var defaultValue: FieldNumber { 2 }
        public static var runtimeKey: FieldNumber { 3 }
    }
    /// envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig
    public enum SdsSecretConfig {
        public static var messageType: MessageType { MessageType(228) }
        public static var name: FieldNumber { 1 }
        public static var sdsConfig: FieldNumber { 2 }
    }
    /// envoy.extensions.transport_sockets.tls.v3.Secret
    public enum Secret {
        public static var messageType: MessageType { MessageType(229) }
        public static var name: FieldNumber { 1 }
        public static var tlsCertificate: FieldNumber { 2 }
        public static var validationContext: FieldNumber { 4 }
    }
    /// envoy.type.v3.SemanticVersion
    public enum SemanticVersion {
        public static var messageType: MessageType { MessageType(271) }
        public static var majorNumber: FieldNumber { 1 }
        public static var minorNumber: FieldNumber { 2 }
        public static var patch: FieldNumber { 3 }
    }
    /// envoy.extensions.load_balancing_policies.common.v3.SlowStartConfig
    public enum SlowStartConfig {
        public static var messageType: MessageType { MessageType(211) }
        public static var slowStartWindow: FieldNumber { 1 }
        public static var aggression: FieldNumber { 2 }
        public static var minWeightPercent: FieldNumber { 3 }
    }
    /// envoy.config.core.v3.SocketAddress
    public enum SocketAddress {
        public static var messageType: MessageType { MessageType(79) }
        public static var `protocol`: FieldNumber { 1 }
        public static var address: FieldNumber { 2 }
        public static var portValue: FieldNumber { 3 }
    }
    /// google.rpc.Status
    public enum Status {
        public static var messageType: MessageType { MessageType(288) }
        public static var code: FieldNumber { 1 }
        public static var message: FieldNumber { 2 }
    }
    /// envoy.config.accesslog.v3.StatusCodeFilter
    public enum StatusCodeFilter {
        public static var messageType: MessageType { MessageType(9) }
        public static var comparison: FieldNumber { 1 }
    }
    /// envoy.extensions.access_loggers.stream.v3.StderrAccessLog
    public enum StderrAccessLog {
        public static var messageType: MessageType { MessageType(150) }
        public static var logFormat: FieldNumber { 1 }
    }
    /// envoy.extensions.access_loggers.stream.v3.StdoutAccessLog
    public enum StdoutAccessLog {
        public static var messageType: MessageType { MessageType(151) }
        public static var logFormat: FieldNumber { 1 }
    }
    /// envoy.type.matcher.v3.StringMatcher
    public enum StringMatcher {
        public static var messageType: MessageType { MessageType(255) }
        public static var exact: FieldNumber { 1 }
        public static var `prefix`: FieldNumber { 2 }
        public static var suffix: FieldNumber { 3 }
        public static var safeRegex: FieldNumber { 5 }
        public static var ignoreCase: FieldNumber { 6 }
        public static var contains: FieldNumber { 7 }
    }
    /// google.protobuf.StringValue
    public enum StringValue {
        public static var messageType: MessageType { MessageType(282) }
        public static var value: FieldNumber { 1 }
    }
    /// google.protobuf.Struct
    public enum Struct {
        public static var messageType: MessageType { MessageType(283) }
        public static var fields: FieldNumber { 1 }
    }
    /// envoy.extensions.transport_sockets.tls.v3.SubjectAltNameMatcher
    public enum SubjectAltNameMatcher {
        public static var messageType: MessageType { MessageType(230) }
        public static var sanType: FieldNumber { 1 }
        public static var matcher: FieldNumber { 2 }
    }
    /// envoy.config.core.v3.SubstitutionFormatString
    public enum SubstitutionFormatString {
        public static var messageType: MessageType { MessageType(80) }
        public static var textFormat: FieldNumber { 1 }
        public static var jsonFormat: FieldNumber { 2 }
        public static var textFormatSource: FieldNumber { 5 }
    }
    /// envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
    public enum TcpProxy {
        public static var messageType: MessageType { MessageType(202) }
        public static var statPrefix: FieldNumber { 1 }
        public static var cluster: FieldNumber { 2 }
        public static var accessLog: FieldNumber { 5 }
        public static var maxConnectAttempts: FieldNumber { 7 }
        public static var idleTimeout: FieldNumber { 8 }
        public static var weightedClusters: FieldNumber { 10 }
        public static var hashPolicy: FieldNumber { 11 }
        public static var maxDownstreamConnectionDuration: FieldNumber { 13 }
    }
    /// envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster
    public enum TcpProxyWeightedCluster {
        public static var messageType: MessageType { MessageType(203) }
        public static var clusters: FieldNumber { 1 }
    }
    /// envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster.ClusterWeight
    public enum TcpProxyWeightedClusterClusterWeight {
        public static var messageType: MessageType { MessageType(204) }
        public static var name: FieldNumber { 1 }
        public static var weight: FieldNumber { 2 }
    }
    /// envoy.extensions.transport_sockets.tls.v3.TlsCertificate
    public enum TlsCertificate {
        public static var messageType: MessageType { MessageType(231) }
        public static var certificateChain: FieldNumber { 1 }
        public static var privateKey: FieldNumber { 2 }
    }
    /// envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector
    public enum TlsInspector {
        public static var messageType: MessageType { MessageType(192) }
    }
    /// envoy.extensions.transport_sockets.tls.v3.TlsParameters
    public enum TlsParameters {
        public static var messageType: MessageType { MessageType(232) }
        public static var tlsMinimumProtocolVersion: FieldNumber { 1 }
        public static var tlsMaximumProtocolVersion: FieldNumber { 2 }
        public static var cipherSuites: FieldNumber { 3 }
    }
    /// envoy.type.v3.TokenBucket
    public enum TokenBucket {
        public static var messageType: MessageType { MessageType(272) }
        public static var maxTokens: FieldNumber { 1 }
        public static var tokensPerFill: FieldNumber { 2 }
        public static var fillInterval: FieldNumber { 3 }
    }
    /// envoy.config.trace.v3.Tracing
    public enum TraceTracing {
        public static var messageType: MessageType { MessageType(147) }
        public static var http: FieldNumber { 1 }
    }
    /// envoy.config.trace.v3.Tracing.Http
    public enum TracingHttp {
        public static var messageType: MessageType { MessageType(148) }
        public static var name: FieldNumber { 1 }
        public static var typedConfig: FieldNumber { 3 }
    }
    /// envoy.config.core.v3.TransportSocket
    public enum TransportSocket {
        public static var messageType: MessageType { MessageType(81) }
        public static var name: FieldNumber { 1 }
        public static var typedConfig: FieldNumber { 3 }
    }
    /// envoy.config.core.v3.TypedExtensionConfig
    public enum TypedExtensionConfig {
        public static var messageType: MessageType { MessageType(82) }
        public static var name: FieldNumber { 1 }
        public static var typedConfig: FieldNumber { 2 }
    }
    /// google.protobuf.UInt32Value
    public enum UInt32Value {
        public static var messageType: MessageType { MessageType(285) }
        public static var value: FieldNumber { 1 }
    }
    /// google.protobuf.UInt64Value
    public enum UInt64Value {
        public static var messageType: MessageType { MessageType(286) }
        public static var value: FieldNumber { 1 }
    }
    /// envoy.config.core.v3.UpstreamHttpProtocolOptions
    public enum UpstreamHttpProtocolOptions {
        public static var messageType: MessageType { MessageType(83) }
        public static var autoSni: FieldNumber { 1 }
        public static var autoSanValidation: FieldNumber { 2 }
    }
    /// envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
    public enum UpstreamTlsContext {
        public static var messageType: MessageType { MessageType(233) }
        public static var commonTlsContext: FieldNumber { 1 }
        public static var sni: FieldNumber { 2 }
    }
    /// envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    public enum UpstreamsHttpProtocolOptions {
        public static var messageType: MessageType { MessageType(234) }
        public static var commonHttpProtocolOptions: FieldNumber { 1 }
        public static var upstreamHttpProtocolOptions: FieldNumber { 2 }
        public static var explicitHttpConfig: FieldNumber { 3 }
        public static var useDownstreamProtocolConfig: FieldNumber { 4 }
        public static var autoConfig: FieldNumber { 5 }
    }
    /// google.protobuf.Value
    public enum Value {
        public static var messageType: MessageType { MessageType(287) }
        public static var nullValue: FieldNumber { 1 }
        public static var numberValue: FieldNumber { 2 }
        public static var stringValue: FieldNumber { 3 }
        public static var boolValue: FieldNumber { 4 }
        public static var structValue: FieldNumber { 5 }
        public static var listValue: FieldNumber { 6 }
    }
    /// envoy.config.route.v3.VirtualHost
    public enum VirtualHost {
        public static var messageType: MessageType { MessageType(141) }
        public static var name: FieldNumber { 1 }
        public static var domains: FieldNumber { 2 }
        public static var routes: FieldNumber { 3 }
        public static var requireTls: FieldNumber { 4 }
        public static var rateLimits: FieldNumber { 6 }
        public static var requestHeadersToAdd: FieldNumber { 7 }
        public static var responseHeadersToAdd: FieldNumber { 10 }
        public static var responseHeadersToRemove: FieldNumber { 11 }
        public static var requestHeadersToRemove: FieldNumber { 13 }
        public static var includeRequestAttemptCount: FieldNumber { 14 }
        public static var typedPerFilterConfig: FieldNumber { 15 }
        public static var retryPolicy: FieldNumber { 16 }
        public static var hedgePolicy: FieldNumber { 17 }
        public static var perRequestBufferLimitBytes: FieldNumber { 18 }
        public static var includeAttemptCountInResponse: FieldNumber { 19 }
        public static var requestMirrorPolicies: FieldNumber { 22 }
    }
    /// envoy.config.route.v3.WeightedCluster
    public enum WeightedCluster {
        public static var messageType: MessageType { MessageType(143) }
        public static var clusters: FieldNumber { 1 }
    }
    /// envoy.config.route.v3.WeightedCluster.ClusterWeight
    public enum WeightedClusterClusterWeight {
        public static var messageType: MessageType { MessageType(144) }
        public static var name: FieldNumber { 1 }
        public static var weight: FieldNumber { 2 }
        public static var metadataMatch: FieldNumber { 3 }
        public static var requestHeadersToAdd: FieldNumber { 4 }
        public static var responseHeadersToAdd: FieldNumber { 5 }
        public static var responseHeadersToRemove: FieldNumber { 6 }
        public static var requestHeadersToRemove: FieldNumber { 9 }
        public static var typedPerFilterConfig: FieldNumber { 10 }
    }
    /// envoy.extensions.load_balancing_policies.wrr_locality.v3.WrrLocality
    public enum WrrLocality {
        public static var messageType: MessageType { MessageType(217) }
        public static var endpointPickingPolicy: FieldNumber { 1 }
    }
    /// xds.type.matcher.v3.Matcher
    public enum XDSMatcher {
        public static var messageType: MessageType { MessageType(310) }
        public static var matcherList: FieldNumber { 1 }
        public static var onNoMatch: FieldNumber { 3 }
    }
    /// xds.type.matcher.v3.Matcher.MatcherList
    public enum XDSMatcherMatcherList {
        public static var messageType: MessageType { MessageType(311) }
        public static var matchers: FieldNumber { 1 }
    }
    /// xds.type.matcher.v3.Matcher.MatcherList.FieldMatcher
    public enum XDSMatcherMatcherListFieldMatcher {
        public static var messageType: MessageType { MessageType(312) }
        public static var predicate: FieldNumber { 1 }
        public static var onMatch: FieldNumber { 2 }
    }
    /// xds.type.matcher.v3.Matcher.MatcherList.Predicate
    public enum XDSMatcherMatcherListPredicate {
        public static var messageType: MessageType { MessageType(313) }
        public static var singlePredicate: FieldNumber { 1 }
        public static var orMatcher: FieldNumber { 2 }
        public static var andMatcher: FieldNumber { 3 }
        public static var notMatcher: FieldNumber { 4 }
    }
    /// xds.type.matcher.v3.Matcher.MatcherList.Predicate.PredicateList
    public enum XDSMatcherMatcherListPredicatePredicateList {
        public static var messageType: MessageType { MessageType(314) }
        public static var predicate: FieldNumber { 1 }
    }
    /// xds.type.matcher.v3.Matcher.MatcherList.Predicate.SinglePredicate
    public enum XDSMatcherMatcherListPredicateSinglePredicate {
        public static var messageType: MessageType { MessageType(315) }
        public static var input: FieldNumber { 1 }
        public static var valueMatch: FieldNumber { 2 }
    }
    /// xds.type.matcher.v3.Matcher.OnMatch
    public enum XDSMatcherOnMatch {
        public static var messageType: MessageType { MessageType(316) }
        public static var matcher: FieldNumber { 1 }
        public static var action: FieldNumber { 2 }
    }
    /// xds.type.matcher.v3.RegexMatcher
    public enum XDSRegexMatcher {
        public static var messageType: MessageType { MessageType(317) }
        public static var googleRe2: FieldNumber { 1 }
        public static var regex: FieldNumber { 2 }
    }
    /// xds.type.matcher.v3.RegexMatcher.GoogleRE2
    public enum XDSRegexMatcherGoogleRE2 {
        public static var messageType: MessageType { MessageType(318) }
    }
    /// xds.type.matcher.v3.StringMatcher
    public enum XDSStringMatcher {
        public static var messageType: MessageType { MessageType(319) }
        public static var exact: FieldNumber { 1 }
        public static var `prefix`: FieldNumber { 2 }
        public static var suffix: FieldNumber { 3 }
        public static var safeRegex: FieldNumber { 5 }
        public static var ignoreCase: FieldNumber { 6 }
        public static var contains: FieldNumber { 7 }
    }
    /// xds.core.v3.TypedExtensionConfig
    public enum XDSTypedExtensionConfig {
        public static var messageType: MessageType { MessageType(309) }
        public static var name: FieldNumber { 1 }
        public static var typedConfig: FieldNumber { 2 }
    }
}

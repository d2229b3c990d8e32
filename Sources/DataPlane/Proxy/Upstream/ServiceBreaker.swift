import TrafficPolicy

/// The circuit breaker of one cluster, for the whole process.
final class ServiceBreaker: Sendable {
    let cluster: String
    let breaker: CircuitBreaker
    /// What it decides is counted and recorded, and not carried out.
    let isShadow: Bool

    init(cluster: String, _ settings: CircuitBreakerSettings, isShadow: Bool) {
        (self.cluster, self.isShadow) = (cluster, isShadow)
        breaker = CircuitBreaker(settings)
    }
}

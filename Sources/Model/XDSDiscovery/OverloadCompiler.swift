import MeshModel
import MeshPrimitives
import TrafficPolicy
import XDSSchema

// Filters that keep requests from services in trouble: adaptive_concurrency.v3 and admission_control.v3.
extension ResourceCompiler {
    mutating func adaptiveConcurrency(_ node: ConfigNode) -> AdaptiveConcurrencyFilter {
        typealias F = XDS.AdaptiveConcurrency
        typealias G = XDS.GradientControllerConfig
        typealias L = XDS.GradientControllerConfigConcurrencyLimitCalculationParams
        typealias M = XDS.GradientControllerConfigMinimumRTTCalculationParams
        let controller = node.child(F.gradientControllerConfig)
        let limits = controller?.message.message(G.concurrencyLimitParams)
        let measuring = controller?.message.message(G.minRttCalcParams)
        if let controller, let measuring, !measuring.has(M.interval) {
            add("needs 'interval'", at: controller, G.minRttCalcParams)
        }
        var settings = AdaptiveConcurrencySettings(
            updateInterval: max(1, limits?.duration(L.concurrencyUpdateInterval)?.nanoseconds ?? 1),
            minRTTInterval: max(1, measuring?.duration(M.interval)?.nanoseconds ?? 1))
        func percent(_ message: ConfigMessage?, _ number: FieldNumber) -> Double? {
            message?.message(number)?.double(XDS.Percent.value)
        }
        settings.samplePercentile =
            percent(controller?.message, G.sampleAggregatePercentile) ?? settings.samplePercentile
        settings.limitMax =
            limits?.wrappedUnsigned(L.maxConcurrencyLimit).map { UInt32(clamping: $0) } ?? settings.limitMax
        settings.minRTTRequests =
            measuring?.wrappedUnsigned(M.requestCount).map { UInt32(clamping: $0) } ?? settings.minRTTRequests
        settings.limitMin =
            measuring?.wrappedUnsigned(M.minConcurrency).map { UInt32(clamping: $0) } ?? settings.limitMin
        settings.jitterPercent = percent(measuring, M.jitter) ?? settings.jitterPercent
        settings.bufferPercent = percent(measuring, M.buffer) ?? settings.bufferPercent
        var filter = AdaptiveConcurrencyFilter(settings)
        (filter.isEnabled, filter.runtimeKey) = flag(node.child(F.enabled))
        if let status = node.message.message(F.concurrencyLimitExceededStatus) {
            let code = Int(status.enumerated(XDS.HttpStatus.code))
            filter.status = code < 400 ? 503 : code
        }
        return filter
    }

    mutating func admissionControl(_ node: ConfigNode) -> AdmissionControlFilter {
        typealias F = XDS.AdmissionControl
        var filter = AdmissionControlFilter()
        (filter.isEnabled, filter.runtimeKey) = flag(node.child(F.enabled))
        if let window = node.message.duration(F.samplingWindow) {
            let seconds = window.components.seconds
            if seconds < 1 || seconds > 3600 {
                add("must lie between 1s and 3600s", at: node, F.samplingWindow)
            }
            filter.settings.samplingWindow = min(max(seconds, 1), 3600)
        }
        func percent(_ number: FieldNumber) -> Double? {
            guard let percent = node.message.message(number) else { return nil }
            return runtimeNumber(percent.text(XDS.RuntimePercent.runtimeKey))
                ?? percent.message(XDS.RuntimePercent.defaultValue)?.double(XDS.Percent.value)
        }
        if let aggression = node.message.message(F.aggression) {
            let value = runtimeNumber(aggression.text(XDS.RuntimeDouble.runtimeKey))
            filter.settings.aggression = max(1, value ?? aggression.double(XDS.RuntimeDouble.defaultValue))
        }
        if let threshold = percent(F.srThreshold) {
            if threshold < 1 { add("must be at least 1", at: node, F.srThreshold) }
            filter.settings.successRateThreshold = max(1, threshold)
        }
        if let rate = node.message.message(F.rpsThreshold) {
            let value = runtimeNumber(rate.text(XDS.RuntimeUInt32.runtimeKey)).flatMap { UInt32(exactly: $0) }
            filter.settings.requestRateThreshold =
                value ?? UInt32(clamping: rate.unsigned(XDS.RuntimeUInt32.defaultValue))
        }
        filter.settings.rejectionProbabilityMax =
            percent(F.maxRejectionProbability) ?? filter.settings.rejectionProbabilityMax
        if let criteria = node.child(F.successCriteria) { successes(criteria, into: &filter) }
        return filter
    }

    private mutating func successes(_ node: ConfigNode, into filter: inout AdmissionControlFilter) {
        typealias F = XDS.AdmissionControlSuccessCriteria
        if let http = node.child(F.httpCriteria) {
            typealias R = XDS.Int32Range
            filter.statuses = http.children(XDS.AdmissionControlSuccessCriteriaHttpCriteria.httpSuccessStatus)
                .map { range in
                    let (start, end) = (range.message.signed(R.start), range.message.signed(R.end))
                    if start < 100 || end > 600 || start >= end {
                        add("needs 100 <= start < end <= 600", at: range)
                    }
                    return Int(clamping: start)..<Int(clamping: max(start, end))
                }
        }
        if let grpc = node.child(F.grpcCriteria) {
            filter.grpcStatuses = 0
            for status in grpc.message.numbers(
                XDS.AdmissionControlSuccessCriteriaGrpcCriteria.grpcSuccessStatus)
            {
                if status > 16 { add("\(status) is not a gRPC status", at: grpc) }
                filter.grpcStatuses |= 1 << UInt32(clamping: min(status, 31))
            }
        }
    }

    /// What the runtime has in place of a default.
    private func runtimeNumber(_ key: String) -> Double? {
        if case .number(let number) = surroundings.runtime[key] { number } else { nil }
    }

    /// envoy.config.core.v3.RuntimeFeatureFlag; true where it is not set.
    private func flag(_ node: ConfigNode?) -> (isEnabled: Bool, key: String) {
        guard let node else { return (true, "") }
        typealias F = XDS.RuntimeFeatureFlag
        return (node.message.wrappedBool(F.defaultValue) ?? false, node.message.text(F.runtimeKey))
    }
}

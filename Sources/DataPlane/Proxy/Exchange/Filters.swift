import HTTPModel
import MeshPrimitives
import Telemetry

/// The filters before the router: each lets a request go on, answers it, or holds it for a while.
extension Worker {
    /// From the filter at which the request stands; then the router.
    mutating func runFilters(_ exchange: ExchangePlace) {
        let filters = exchange.chain.http.filters
        while Int(exchange.value.filtersPassed) < filters.count {
            let index = Int(exchange.value.filtersPassed)
            let goesOn =
                switch filters[index].kind {
                case .rateLimit: passRateLimit(exchange, index)
                case .globalRateLimit: passGlobalRateLimit(exchange, index)
                case .quota: passQuota(exchange, index)
                case .cors: passCORS(exchange, index)
                case .fault: passFault(exchange, index)
                case .healthCheck: passHealthCheck(exchange, index)
                // Carried out when the heads are written.
                case .headerMutation: true
                case .adaptiveConcurrency: passAdaptiveConcurrency(exchange, Int(filters[index].settings))
                case .admissionControl: passAdmissionControl(exchange, Int(filters[index].settings))
                }
            if !goesOn { return }
            exchange.value.filtersPassed += 1
        }
        forward(exchange)
    }

    /// Index of what holds for this request; -1 for nothing.
    func settings(_ exchange: ExchangePlace, _ filter: Int) -> Int {
        var own = exchange.route.filters
        if exchange.route.hasClusterFilters {
            own = exchange.route.clusters[weightedIndex(exchange)].filters
        }
        return Int(own.isEmpty ? exchange.chain.http.filters[filter].settings : own[filter])
    }

    /// What the filters change of a head: of a request in their order, of an answer in the opposite one.
    @inline(__always)
    mutating func applyFilterEdits(_ exchange: ExchangePlace, _ head: EditedHead) {
        if exchange.chain.http.filtersEdit || exchange.value.overLimit >= 0, exchange.value.phase != .reading
        {
            edit(exchange, head)
        }
    }

    private mutating func edit(_ exchange: ExchangePlace, _ head: EditedHead) {
        let filters = exchange.chain.http.filters
        for place in filters.indices {
            switch head {
            case .request:
                switch filters[place].kind {
                case .headerMutation: mutate(exchange, place, head)
                case .rateLimit: if exchange.value.overLimit >= 0 { markOverLimit(exchange, place, head) }
                case .quota: if exchange.value.overQuota >= 0 { editQuota(exchange, head, place) }
                case .globalRateLimit:
                    if exchange.value.said.isAllocated, isFirstGlobalLimit(exchange, place) {
                        addSaidFields(exchange, head)
                    }
                case .cors, .fault, .healthCheck, .adaptiveConcurrency, .admissionControl: break
                }
            case .answer:
                let index = filters.count - 1 - place
                switch filters[index].kind {
                case .rateLimit, .fault, .adaptiveConcurrency, .admissionControl: break
                case .globalRateLimit: editGlobalLimit(exchange, index)
                case .quota:
                    if exchange.value.quotaEdits >= 0 || exchange.value.quotaWait > 0 {
                        editQuota(exchange, head, index)
                    }
                case .healthCheck: editHealth(exchange, index)
                case .cors: editCORS(exchange, index)
                case .headerMutation: mutate(exchange, index, head)
                }
            }
        }
    }

    private mutating func mutate(_ exchange: ExchangePlace, _ filter: Int, _ head: EditedHead) {
        let index = settings(exchange, filter)
        guard index >= 0 else { return }
        let record = shelf.tables(exchange.value.snapshot).filters.mutations[index]
        var list = record.requestEdits
        if case .answer = head { list = record.answerEdits }
        guard list >= 0 else { return }
        applyEdits(list, exchange, head)
        if case .answer = head { answerIsEdited = true }
    }

    /// What a limit that is not enforced adds to a request beyond it.
    private mutating func markOverLimit(_ exchange: ExchangePlace, _ filter: Int, _ head: EditedHead) {
        let index = settings(exchange, filter)
        guard index == Int(exchange.value.overLimit) else { return }
        applyEdits(
            shelf.tables(exchange.value.snapshot).rateLimits[index].requestEdits, exchange, head)
    }

    // MARK: Cross-origin requests

    /// Marks a request whose origin may read the answer; answers one that only asks (Fetch standard, CORS-preflight).
    private mutating func passCORS(_ exchange: ExchangePlace, _ filter: Int) -> Bool {
        let index = settings(exchange, filter)
        guard index >= 0, exchange.value.hasRoute, exchange.route.action == .forward else { return true }
        let policy = shelf.tables(exchange.value.snapshot).filters.cors.reference(index)
        let isEnabled = policy.value.enabled.contains(&random)
        guard isEnabled || policy.value.shadowEnabled.contains(&random) else { return true }
        let bytes = exchange.value.headBytes.view
        guard let origin = exchange.head.value(named: ByteView("origin"), in: bytes), !origin.isEmpty else {
            return true
        }
        let origins = policy.value.origins
        exchange.value.isCrossOrigin = origins.indices.contains { origins[$0].matches(origin) }
        counters.add(
            exchange.chain.http.scope,
            exchange.value.isCrossOrigin ? .corsOriginValid : .corsOriginInvalid)
        guard isEnabled else {
            exchange.value.isCrossOrigin = false
            return true
        }
        guard exchange.head.method == .options,
            let method = exchange.head.value(named: ByteView("access-control-request-method"), in: bytes),
            !method.isEmpty, exchange.value.isCrossOrigin || !policy.value.forwardsOthers
        else { return true }
        exchange.value.isPreflight = true
        var answer = LocalAnswer(200, details: .corsResponse)
        answer.skipsRouteEdits = true
        answerLocally(exchange, answer)
        return false
    }

    private mutating func editCORS(_ exchange: ExchangePlace, _ filter: Int) {
        guard exchange.value.isCrossOrigin || exchange.value.isPreflight else { return }
        let policy = shelf.tables(exchange.value.snapshot).filters.cors.reference(settings(exchange, filter))
        func set(_ name: StaticString, _ value: ByteView) {
            if !value.isEmpty { edits.set(.other, ByteView(name), value) }
        }
        if exchange.value.isCrossOrigin,
            let origin = exchange.head.value(
                named: ByteView("origin"), in: exchange.value.headBytes.view)
        {
            set("access-control-allow-origin", origin)
        }
        if policy.value.allowsCredentials, exchange.value.isCrossOrigin || exchange.value.isPreflight {
            set("access-control-allow-credentials", ByteView("true"))
        }
        if exchange.value.isPreflight {
            set("access-control-allow-methods", policy.value.methods)
            set("access-control-allow-headers", policy.value.headers)
            set("access-control-max-age", policy.value.maxAge)
        }
        if exchange.value.isCrossOrigin { set("access-control-expose-headers", policy.value.exposedHeaders) }
        answerIsEdited = true
    }

    // MARK: Faults

    private mutating func passFault(_ exchange: ExchangePlace, _ filter: Int) -> Bool {
        let index = settings(exchange, filter)
        guard index >= 0 else { return true }
        let fault = shelf.tables(exchange.value.snapshot).filters.faults.reference(index)
        guard concerns(fault, exchange) else { return true }
        guard !fault.value.isShadow else {
            noteShadow(fault, exchange)
            return true
        }
        if let rate = rate(fault, exchange), beginFault(fault, exchange) {
            counters.add(exchange.chain.http.scope, .faultResponseRlInjected)
            setPace(exchange, rate: rate)
        }
        if !exchange.value.wasDelayed, let wait = delay(fault, exchange), beginFault(fault, exchange) {
            exchange.value.wasDelayed = true
            exchange.value.record.flags.insert(.delayInjected)
            counters.add(exchange.chain.http.scope, .faultDelaysInjected)
            exchange.value.retryAt = now.advanced(byNanoseconds: wait)
            armTimer(exchange)
            return false
        }
        exchange.value.wasDelayed = false
        guard let answer = abort(fault, exchange), beginFault(fault, exchange) else { return true }
        counters.add(exchange.chain.http.scope, .faultAbortsInjected)
        answerLocally(exchange, answer)
        return false
    }

    /// What would have been made to fail.
    private mutating func noteShadow(_ fault: Reference<FaultRecord>, _ exchange: ExchangePlace) {
        if delay(fault, exchange) != nil {
            counters.add(exchange.chain.http.scope, .shadowFaultDelays)
            exchange.value.record.shadows.insert(.delay)
        }
        if abort(fault, exchange) != nil {
            counters.add(exchange.chain.http.scope, .shadowFaultAborts)
            exchange.value.record.shadows.insert(.abort)
        }
    }

    /// false: as many requests as may have a fault have one.
    private mutating func beginFault(_ fault: Reference<FaultRecord>, _ exchange: ExchangePlace) -> Bool {
        if exchange.value.fault != nil { return true }
        let active = fault.value.active
        guard active.with({ $0.begin(most: fault.value.activeMax) }) else {
            counters.add(exchange.chain.http.scope, .faultOverflow)
            return false
        }
        counters.add(exchange.chain.http.scope, .faultActiveFaults)
        exchange.value.fault = active
        exchange.value.isMeasured = true
        return true
    }

    private mutating func concerns(_ fault: Reference<FaultRecord>, _ exchange: ExchangePlace) -> Bool {
        if !fault.value.cluster.isEmpty {
            guard exchange.value.hasRoute, exchange.route.action == .forward,
                let cluster = chooseCluster(exchange),
                shelf.tables(exchange.value.snapshot).clusters[cluster].name.equals(fault.value.cluster)
            else { return false }
        }
        let bytes = exchange.value.headBytes.view
        if !fault.value.nodes.isEmpty {
            guard
                let node = exchange.head.value(
                    named: ByteView("x-envoy-downstream-service-node"), in: bytes),
                fault.value.nodes.indices.contains(where: { fault.value.nodes[$0].equals(node) })
            else { return false }
        }
        let question = RouteQuestion(
            bytes: bytes, isHTTPS: isHTTPS(exchange), chance: exchange.value.chance)
        let headers = fault.value.headers
        return headers.indices.allSatisfy { headers[$0].matches(exchange.head, question) }
    }

    /// A number that the caller gives in a field.
    private func number(_ name: StaticString, _ exchange: ExchangePlace) -> Int? {
        exchange.head.value(named: ByteView(name), in: exchange.value.headBytes.view)?.decimal
    }

    /// Where the caller may ask for faults, it may ask for fewer than configured.
    private func share(
        _ share: FractionRecord, lowered: Bool, by name: StaticString, _ exchange: ExchangePlace
    ) -> FractionRecord {
        guard lowered, let asked = number(name, exchange) else { return share }
        var share = share
        share.numerator = UInt32(clamping: min(asked, Int(share.numerator)))
        return share
    }

    private mutating func delay(_ fault: Reference<FaultRecord>, _ exchange: ExchangePlace) -> Int64? {
        let reads = fault.value.readsDelay
        var wait = fault.value.delay
        if reads {
            wait =
                Int64(number("x-envoy-fault-delay-request", exchange) ?? 0).multipliedReportingOverflow(
                    by: 1_000_000
                ).partialValue
        }
        guard wait > 0, wait < .max / 4 else { return nil }
        let share = share(
            fault.value.delayShare, lowered: reads, by: "x-envoy-fault-delay-request-percentage", exchange)
        return share.contains(&random) ? wait : nil
    }

    /// Bytes a second of the answer's body.
    private mutating func rate(_ fault: Reference<FaultRecord>, _ exchange: ExchangePlace) -> Int64? {
        let reads = fault.value.readsRate
        var rate = fault.value.rate
        if reads {
            rate = Int64(min(number("x-envoy-fault-throughput-response", exchange) ?? 0, 1 << 30)) * 1024
        }
        guard rate > 0, exchange.value.paceRate == 0 else { return nil }
        let share = share(
            fault.value.rateShare, lowered: reads, by: "x-envoy-fault-throughput-response-percentage",
            exchange)
        return share.contains(&random) ? rate : nil
    }

    private mutating func abort(_ fault: Reference<FaultRecord>, _ exchange: ExchangePlace) -> LocalAnswer? {
        var (status, grpc) = (Int(fault.value.abortStatus), Int(fault.value.abortGRPC))
        let reads = fault.value.readsAbort
        if reads {
            if let asked = number("x-envoy-fault-abort-request", exchange), (200..<600).contains(asked) {
                status = asked
            } else {
                grpc = number("x-envoy-fault-abort-grpc-request", exchange) ?? -1
            }
        }
        guard status > 0 || grpc >= 0 else { return nil }
        let share = share(
            fault.value.abortShare, lowered: reads, by: "x-envoy-fault-abort-request-percentage", exchange)
        guard share.contains(&random) else { return nil }
        var answer = LocalAnswer(
            status > 0 ? UInt16(clamping: status) : 200, "fault filter abort", flag: .faultInjected,
            details: .faultFilterAbort, proxyStatus: "http_request_denied")
        if status == 0 { answer.grpcStatus = Int16(clamping: grpc) }
        return answer
    }
}

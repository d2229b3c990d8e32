import HTTPModel
import MeshPrimitives
import Telemetry
import TrafficPolicy

/// Shares of mesh-wide limits: decided here, without asking anybody.
extension Worker {
    /// Steps of a predicate.
    static var quotaStepsMax: Int { 64 }
    /// Buckets of open values that a worker remembers.
    private static var quotasKeptMax: Int { 4096 }

    /// false: the request was answered.
    mutating func passQuota(_ exchange: ExchangePlace, _ filter: Int) -> Bool {
        let index = settings(exchange, filter)
        guard index >= 0 else { return true }
        let record = shelf.tables(exchange.value.snapshot).filters.quotas.reference(index)
        guard record.value.enabled.contains(&random) else { return true }
        scratch.removeAll()
        if record.value.readsEdits { recallRequest(exchange) }
        guard let place = bucketPlace(record, exchange) else { return true }
        let bucket = record.value.buckets.reference(place)
        guard case .denied(let wait) = verdict(bucket, record.value.readsEdits, exchange) else {
            counters.add(record.value.scope, .allowed)
            return true
        }
        counters.add(record.value.scope, .denied)
        guard record.value.enforced.contains(&random) else {
            exchange.value.record.shadows.insert(.rateLimit)
            if record.value.requestEdits >= 0 { exchange.value.overQuota = Int32(index) }
            return true
        }
        counters.add(record.value.scope, .enforced)
        exchange.value.quotaEdits = bucket.value.answerEdits
        if record.value.sendsRetryAfter, wait > 0 {
            exchange.value.quotaWait = UInt32(clamping: (wait - 1) / Nanoseconds.perSecond + 1)
        }
        var answer = LocalAnswer(
            bucket.value.status, flag: .rateLimited, details: .requestRateLimited,
            proxyStatus: "http_request_denied")
        answer.body = StaticText(bucket.value.body)
        answer.grpcStatus = bucket.value.grpcStatus
        answerLocally(exchange, answer)
        return false
    }

    /// nil: the request is not limited.
    private func bucketPlace(_ record: Reference<QuotaRecord>, _ exchange: ExchangePlace) -> Int? {
        let rules = record.value.rules
        for index in rules.indices where holds(rules[index].steps, record.value.readsEdits, exchange) {
            return Int(rules[index].bucket)
        }
        return record.value.rest >= 0 ? Int(record.value.rest) : nil
    }

    private func holds(_ steps: Table<QuotaStepRecord>, _ readsEdits: Bool, _ exchange: ExchangePlace) -> Bool
    {
        // The topmost truth is the lowest bit.
        var stack: UInt64 = 0
        for index in steps.indices {
            let step = steps.reference(index)
            switch step.value.kind {
            case .test:
                let found = quotaField(step.value.field, readsEdits, exchange)
                stack = stack << 1 | (found.map { step.value.text.matches($0) } ?? false ? 1 : 0)
            case .not: stack ^= 1
            case .all, .any:
                let mask = (UInt64(1) << UInt64(min(step.value.count, 63))) - 1
                let truths = stack & mask
                let isTrue = step.value.kind == .all ? truths == mask : truths != 0
                stack = (stack >> UInt64(min(step.value.count, 63))) << 1 | (isTrue ? 1 : 0)
            }
        }
        return stack & 1 == 1
    }

    /// As filters before have left it.
    private func quotaField(_ field: QuotaFieldRecord, _ readsEdits: Bool, _ exchange: ExchangePlace)
        -> ByteView?
    {
        let bytes = exchange.value.headBytes.view
        switch field.subject {
        case .field:
            guard readsEdits else { return exchange.head.value(named: field.name, in: bytes) }
            return requestEdits.value(named: field.name, FieldName(field.name), in: exchange.head, bytes)
        case .method: return bytes[exchange.head.methodToken.range]
        case .path: return bytes[exchange.head.path.range]
        case .authority: return bytes[exchange.head.authority.range]
        case .scheme: return ByteView(isHTTPS(exchange) ? "https" : "http")
        }
    }

    private enum QuotaVerdict {
        case allowed
        /// Nanoseconds until another one would pass; 0: nobody can tell.
        case denied(wait: Int64)
    }

    private func verdict(_ bucket: QuotaBucket) -> QuotaVerdict {
        bucket.admit(at: now) ? .allowed : .denied(wait: bucket.wait(at: now))
    }

    private mutating func verdict(
        _ bucket: Reference<QuotaBucketRecord>, _ readsEdits: Bool, _ exchange: ExchangePlace
    ) -> QuotaVerdict {
        guard let maker = bucket.value.maker else {
            return bucket.value.entry.with { verdict($0.bucket) }
        }
        var hash = bucket.value.secret
        let fields = bucket.value.fields
        for index in fields.indices {
            // A request without one of the fields has no bucket, and no limit.
            guard let value = quotaField(fields[index], readsEdits, exchange) else { return .allowed }
            hash = StableHash.xxHash64(value, seed: hash)
        }
        if let known = quotasKept[hash] {
            if !known.isRetired.load(ordering: .acquiring) { return verdict(known.bucket) }
            quotasKept[hash] = nil
        }
        let values = fields.indices.map { quotaField(fields[$0], readsEdits, exchange)?.text ?? "" }
        guard let made = maker.with({ $0.entry(values, in: process.quotas, at: now) }) else {
            return bucket.value.entry.with { verdict($0.bucket) }
        }
        if quotasKept.count >= Self.quotasKeptMax { quotasKept.removeAll(keepingCapacity: true) }
        quotasKept[hash] = made
        return verdict(made.bucket)
    }

    mutating func editQuota(_ exchange: ExchangePlace, _ head: EditedHead, _ filter: Int) {
        if case .answer = head {
            if exchange.value.quotaWait > 0 {
                edits.add(.retryAfter, scratch.store(decimal: Int(exchange.value.quotaWait)))
                exchange.value.quotaWait = 0
            }
            guard exchange.value.quotaEdits >= 0 else { return }
            applyEdits(exchange.value.quotaEdits, exchange, head)
            exchange.value.quotaEdits = -1
            answerIsEdited = true
            return
        }
        let index = settings(exchange, filter)
        guard index >= 0, index == Int(exchange.value.overQuota) else { return }
        applyEdits(
            shelf.tables(exchange.value.snapshot).filters.quotas[index].requestEdits, exchange, head)
    }
}

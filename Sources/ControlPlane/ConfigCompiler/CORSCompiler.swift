import MeshConfig
import XDSMessages

/// The filter `CORS` of routes.
enum CORSCompiler {
    static let filterName = "envoy.filters.http.cors"

    /// For routes to say something about; by itself it does nothing.
    static let filter = HTTPFilter(filterName, Envoy_Extensions_Filters_Http_Cors_V3_Cors())

    static func isUsed(_ specification: MeshSpecification) -> Bool {
        specification.resources.contains { resource in
            guard case .httpRoute(let route) = resource.specification else { return false }
            return route.rules.contains { $0.filters.cors != nil }
        }
    }

    static func policy(
        _ cors: HTTPRouteSpecification.CORS
    ) -> Envoy_Extensions_Filters_Http_Cors_V3_CorsPolicy {
        .with {
            $0.allowOriginStringMatch = cors.origins.map(match)
            $0.allowMethods = cors.methods.joined(separator: ",")
            $0.allowHeaders = cors.headers.joined(separator: ",")
            $0.exposeHeaders = cors.exposedHeaders.joined(separator: ",")
            $0.maxAge = "\(cors.maxAge)"
            $0.allowCredentials = .init(cors.allowsCredentials)
        }
    }

    private static func match(_ origin: String) -> Envoy_Type_Matcher_V3_StringMatcher {
        .with {
            guard origin.contains("*") else {
                $0.exact = origin
                return
            }
            // One or more labels stand for the star; a star alone is any origin.
            let pattern = PathPattern.quoted(origin).replacing("\\*", with: "[^/:]+")
            $0.safeRegex.regex = origin == "*" ? ".*" : pattern
        }
    }
}

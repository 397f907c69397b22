/*
 * verify_scope: for which certificates, and for which reasons, a revocation list speaks (RFC 5280 6.3.3 (b) and (d)).
 * Called for each series of lists that is filed under a name of interest; pure, but for the certificate's distribution
 * points, which are read once when a list asks for them.
 *
 * A list of the certificate's own issuer answers for it unless its issuingDistributionPoint names points: then one of
 * them must stand in a distribution point of the certificate that has no cRLIssuer. A list of another issuer must be
 * indirect and named by the cRLIssuer of a distribution point.
 */
#include <openssl/err.h>

#include "verify_crl_priv.h"

#define POINTS_MAX 32 /* of a certificate, and names of one point */

const STACK_OF(DIST_POINT) * revocation_points(struct revocation_check *check) {
    if (!check->points_are_read) {
        check->points_are_read = true;
        check->points = X509_get_ext_d2i(cert_x509(check->cert), NID_crl_distribution_points, NULL, NULL);
        ERR_clear_error();
    }
    return check->points;
}

/* Relative names stand under `above`. */
static bool has_point_of(const struct crl *crl, DIST_POINT_NAME *name, const X509_NAME *above) {
    uint8_t digests[POINTS_MAX][SHA256_SIZE];
    size_t count = crl_point_digests(name, above, digests, POINTS_MAX);
    for (size_t i = 0; i < count; i++)
        if (crl_has_point(crl, digests[i]))
            return true;
    return false;
}

/* The directory name among them that is the list's issuer. */
static const X509_NAME *named_issuer(const struct crl *crl, const GENERAL_NAMES *names) {
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && i < POINTS_MAX; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        uint8_t digest[SHA256_SIZE];
        if (name->type != GEN_DIRNAME)
            continue;
        name_digest(name->d.directoryName, digest);
        if (memcmp(digest, crl_issuer_name(crl), SHA256_SIZE) == 0)
            return name->d.directoryName;
    }
    return NULL;
}

/* Without a name of its own the point goes by the cRLIssuer's (6.3.3 (b) (2) (i)). */
static bool is_named_by(const struct crl *crl, GENERAL_NAMES *names) {
    DIST_POINT_NAME full = {.type = 0, .name.fullname = names};
    return has_point_of(crl, &full, NULL);
}

static bool is_about_point(const struct revocation_check *check, const struct crl *crl, const DIST_POINT *point,
                           bool is_foreign) {
    const X509_NAME *above = X509_get_issuer_name(cert_x509(check->cert));
    if (is_foreign != (point->CRLissuer != NULL))
        return false;
    if (is_foreign && (above = named_issuer(crl, point->CRLissuer)) == NULL)
        return false;
    if (!crl_is_scoped_to_points(crl))
        return true;
    if (point->distpoint != NULL)
        return has_point_of(crl, point->distpoint, above);
    return is_foreign && is_named_by(crl, point->CRLissuer);
}

uint32_t revocation_reasons_covered(struct revocation_check *check, const struct crl *crl, bool is_foreign) {
    uint32_t reasons = 0;
    if (cert_is_ca(check->cert) ? !crl_covers_cas(crl) : !crl_covers_leaves(crl))
        return 0;
    if (!is_foreign && !crl_is_scoped_to_points(crl))
        return crl_head(crl)->reasons;
    const STACK_OF(DIST_POINT) *points = revocation_points(check);
    for (int i = 0; i < sk_DIST_POINT_num(points) && i < POINTS_MAX; i++) {
        const DIST_POINT *point = sk_DIST_POINT_value(points, i);
        if (is_about_point(check, crl, point, is_foreign))
            reasons |= point->reasons ? crl_reason_mask(point->reasons) : CRL_ALL_REASONS;
    }
    return reasons & crl_head(crl)->reasons;
}

static bool has_digest(uint8_t (*digests)[SHA256_SIZE], size_t count, const uint8_t digest[SHA256_SIZE]) {
    for (size_t i = 0; i < count; i++)
        if (memcmp(digests[i], digest, SHA256_SIZE) == 0)
            return true;
    return false;
}

size_t revocation_foreign_issuers(struct revocation_check *check, uint8_t (*names_out)[SHA256_SIZE], size_t max) {
    size_t count = 0;
    const STACK_OF(DIST_POINT) *points = revocation_points(check);
    for (int i = 0; i < sk_DIST_POINT_num(points) && i < POINTS_MAX; i++) {
        const GENERAL_NAMES *names = sk_DIST_POINT_value(points, i)->CRLissuer;
        for (int n = 0; n < sk_GENERAL_NAME_num(names) && n < POINTS_MAX && count < max; n++) {
            const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, n);
            if (name->type != GEN_DIRNAME)
                continue;
            name_digest(name->d.directoryName, names_out[count]);
            if (!has_digest(names_out, count, names_out[count]))
                count++;
        }
    }
    return count;
}

/*
 * ask_packet: a question, an answer or a notice as bytes and back, and through the socket. One packet of the socket is
 * one of them.
 *
 *   type (2) | kind (2) | size of the text (4) | id (8) | text         in the byte order of the machine
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "ask_priv.h"

struct packet_head {
    uint16_t type, kind;
    uint32_t text_size;
    uint64_t id;
};
_Static_assert(sizeof(struct packet_head) + ASK_TEXT_MAX == ASK_FRAME_MAX, "ASK_FRAME_MAX is the longest packet");

bool ask_decode(struct slice bytes, struct ask_packet *packet_out) {
    struct packet_head head;
    *packet_out = (struct ask_packet){.id = 0};
    if (bytes.len < sizeof head || bytes.len > ASK_FRAME_MAX)
        return false;
    memcpy(&head, bytes.ptr, sizeof head);
    bool is_notice = head.type == ASK_PACKET_NOTICE;
    if (head.type == 0 || head.type >= ASK_PACKET_END || head.kind == 0 || head.kind >= ASK_KIND_END ||
        head.text_size != bytes.len - sizeof head || is_notice != (head.id == 0) ||
        (head.type == ASK_PACKET_REFUSAL && head.text_size != 0))
        return false;
    *packet_out = (struct ask_packet){.type = (enum ask_packet_type)head.type,
                                      .kind = (enum ask_kind)head.kind,
                                      .id = head.id,
                                      .text = slice_after(bytes, sizeof head)};
    return true;
}

size_t ask_encode(const struct ask_packet *packet, char out[ASK_FRAME_MAX]) {
    INVARIANT(packet->text.len <= ASK_TEXT_MAX);
    struct packet_head head = {.type = (uint16_t)packet->type,
                               .kind = (uint16_t)packet->kind,
                               .text_size = (uint32_t)packet->text.len,
                               .id = packet->id};
    memcpy(out, &head, sizeof head);
    if (packet->text.len > 0)
        memcpy(out + sizeof head, packet->text.ptr, packet->text.len);
    return sizeof head + packet->text.len;
}

bool ask_send(int fd, const struct ask_packet *packet) {
    char bytes[ASK_FRAME_MAX];
    size_t size = ask_encode(packet, bytes);
    return send(fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)size;
}

enum ask_received ask_receive(int fd, char buffer[ASK_FRAME_MAX + 1], struct ask_packet *packet_out) {
    ssize_t size = recv(fd, buffer, ASK_FRAME_MAX + 1, MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return ASK_NOTHING;
    if (size <= 0)
        return ASK_GONE;
    return ask_decode(slice_make(buffer, (size_t)size), packet_out) ? ASK_RECEIVED : ASK_BROKEN;
}

-- Verifies both tokens of a request with OpenSSL and says to the application who it is, or answers 401.
local ffi = require 'ffi'
local cjson = require 'cjson.safe'
local settings = require 'bench_settings'

ffi.cdef [[
typedef struct { int unused; } EVP_PKEY; typedef struct { int unused; } EVP_MD_CTX;
typedef struct { int unused; } BIO;
BIO *BIO_new_mem_buf(const void *buf, int len);
EVP_PKEY *PEM_read_bio_PUBKEY(BIO *bp, void *x, void *cb, void *u);
EVP_MD_CTX *EVP_MD_CTX_new(void);
int EVP_MD_CTX_reset(EVP_MD_CTX *ctx);
const void *EVP_sha256(void);
int EVP_DigestVerifyInit(EVP_MD_CTX *ctx, void *pctx, const void *type, void *e, EVP_PKEY *pkey);
int EVP_DigestVerify(EVP_MD_CTX *ctx, const char *sig, size_t siglen, const char *tbs, size_t tbslen);
]]
local C = ffi.load('libcrypto.so.3')
local context = C.EVP_MD_CTX_new()

local function key(pem) return C.PEM_read_bio_PUBKEY(C.BIO_new_mem_buf(pem, #pem), nil, nil, nil) end
local albKey, poolKey = key(settings.alb), key(settings.pool)

local function decode(text)
  text = text:gsub('=', ''):gsub('-', '+'):gsub('_', '/')
  return ngx.decode_base64(text .. ('='):rep(-#text % 4)) or ''
end

-- One integer of a signature as DER has it: no leading zeros, but one before a high bit.
local function integer(bytes)
  bytes = bytes:gsub('^%z+', '')
  if bytes:byte() >= 128 then bytes = '\0' .. bytes end
  return '\2' .. string.char(#bytes) .. bytes
end

local function der(raw)
  local body = integer(raw:sub(1, 32)) .. integer(raw:sub(33))
  return '\48' .. string.char(#body) .. body
end

local function parse(token, alg, publicKey)
  local head, payload, signature = token:match('^([^.]+)%.([^.]+)%.([^.]+)$')
  if not head then return end
  local header = cjson.decode(decode(head))
  if not header or header.alg ~= alg then return end
  local raw = decode(signature)
  if alg == 'ES256' then
    if #raw ~= 64 then return end
    raw = der(raw)
  end
  local signed = head .. '.' .. payload
  C.EVP_MD_CTX_reset(context)
  C.EVP_DigestVerifyInit(context, nil, C.EVP_sha256(), nil, publicKey)
  if C.EVP_DigestVerify(context, raw, #raw, signed, #signed) ~= 1 then return end
  local claims = cjson.decode(decode(payload))
  if not claims or claims.iss ~= settings.issuer or claims.exp < ngx.time() then return end
  return claims, header
end

return function(ngx)
  local alb, header = parse(ngx.var.http_x_amzn_oidc_data or '', 'ES256', albKey)
  local access = alb and parse(ngx.var.http_x_amzn_oidc_accesstoken or '', 'RS256', poolKey)
  local ours = access and header.signer == settings.arn and header.client == settings.client
    and access.client_id == settings.client and access.sub == alb.sub
  if not ours then return ngx.exit(401) end
  ngx.req.set_header('X-Forwarded-User', alb.email)
end

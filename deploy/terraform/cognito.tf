resource "aws_cognito_user_pool" "this" {
  count                    = local.uses_cognito ? 1 : 0
  name                     = var.name
  username_attributes      = ["email"]
  auto_verified_attributes = ["email"]
  deletion_protection      = "ACTIVE"

  admin_create_user_config {
    allow_admin_create_user_only = true
  }
}

resource "aws_cognito_user_pool_client" "this" {
  count                                = local.uses_cognito ? 1 : 0
  name                                 = var.name
  user_pool_id                         = aws_cognito_user_pool.this[0].id
  generate_secret                      = true
  allowed_oauth_flows_user_pool_client = true
  allowed_oauth_flows                  = ["code"]
  allowed_oauth_scopes                 = ["openid"]
  supported_identity_providers         = ["COGNITO"]
  callback_urls                        = ["https://${var.host_name}/oauth2/idpresponse"]

  # The ALB keeps its session as long as the refresh token lives; claims are as old as this.
  access_token_validity = 15
  token_validity_units {
    access_token = "minutes"
  }
}

resource "aws_cognito_user_pool_domain" "this" {
  count        = local.uses_cognito ? 1 : 0
  user_pool_id = aws_cognito_user_pool.this[0].id
  domain       = "consoleme-${data.aws_caller_identity.current.account_id}"
}

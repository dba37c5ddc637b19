# The parameters of ../cloudformation/consoleme.yaml, under the same names, and `name` for its stack's.

variable "name" {
  description = "Of everything that is made here."
  type        = string
  default     = "consoleme"
}

variable "vpc_id" {
  type = string
}

variable "load_balancer_subnet_ids" {
  description = "Two or more, public for an internet-facing load balancer."
  type        = list(string)
}

variable "private_subnet_ids" {
  description = "Two or more without public addresses, with a way out to the key endpoint (NAT)."
  type        = list(string)
}

variable "scheme" {
  type    = string
  default = "internal"
  validation {
    condition     = contains(["internal", "internet-facing"], var.scheme)
    error_message = "The scheme must be internal or internet-facing."
  }
}

variable "client_cidr" {
  description = "Who may reach the load balancer."
  type        = string
  default     = "10.0.0.0/8"
}

variable "host_name" {
  description = "The name that users type, e.g. consoleme.example.com."
  type        = string
}

variable "certificate_arn" {
  description = "Of ACM, for that name."
  type        = string
}

variable "sidecar_image" {
  description = "By digest."
  type        = string
}

variable "application_image" {
  description = "ConsoleMe with your configuration in it, by digest."
  type        = string
}

variable "desired_count" {
  type    = number
  default = 2
}

variable "enforcement" {
  description = "Begin with report; enforce when alb_auth_would_reject_total stays at 0."
  type        = string
  default     = "report"
  validation {
    condition     = contains(["report", "enforce"], var.enforcement)
    error_message = "The enforcement must be report or enforce."
  }
}

variable "open_weep_paths" {
  description = "Whether the paths of the weep CLI that ConsoleMe's guide leaves out are open too."
  type        = bool
  default     = true
}

variable "identity_provider" {
  description = "cognito makes a user pool here; the others need the five variables below."
  type        = string
  default     = "cognito"
  validation {
    condition     = contains(["cognito", "okta", "google", "generic"], var.identity_provider)
    error_message = "The identity provider must be cognito, okta, google or generic."
  }
}

variable "oidc_issuer" {
  type    = string
  default = ""
}

variable "oidc_authorization_endpoint" {
  type    = string
  default = ""
}

variable "oidc_token_endpoint" {
  type    = string
  default = ""
}

variable "oidc_user_info_endpoint" {
  type    = string
  default = ""
}

variable "oidc_client_id" {
  type    = string
  default = ""
}

# Ends up in the state: keep that encrypted.
variable "oidc_client_secret" {
  type      = string
  default   = ""
  sensitive = true
}

variable "oidc_scope" {
  description = "openid for Cognito, openid email groups for Okta, openid email for Google."
  type        = string
  default     = "openid email"
}

variable "access_token_audiences" {
  description = "For Okta, the audience of its authorization server, e.g. api://default."
  type        = string
  default     = ""
}

variable "allowed_email_domains" {
  description = "Who may pass, by the domain of a verified e-mail address; all users if empty. For Google."
  type        = string
  default     = ""
}

locals {
  uses_cognito = var.identity_provider == "cognito"
}

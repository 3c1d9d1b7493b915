/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "methods/peft-method.h"
#include "methods/peft-target.h"

/* What target_modules = null stands for with LoRA and most other methods, as in the Python library peft. */
static const PeftTargetDefault defaults[] = {
  { "t5", "q v" },
  { "mt5", "q v" },
  { "bart", "q_proj v_proj" },
  { "gpt2", "c_attn" },
  { "bloom", "query_key_value" },
  { "blip-2", "q v q_proj v_proj" },
  { "opt", "q_proj v_proj" },
  { "gptj", "q_proj v_proj" },
  { "gpt_neox", "query_key_value" },
  { "gpt_neo", "q_proj v_proj" },
  { "bert", "query value" },
  { "roberta", "query value" },
  { "xlm-roberta", "query value" },
  { "electra", "query value" },
  { "deberta-v2", "query_proj value_proj" },
  { "deberta", "in_proj" },
  { "layoutlm", "query value" },
  { "llama", "q_proj v_proj" },
  { "llama4", "q_proj v_proj" },
  { "chatglm", "query_key_value" },
  { "gpt_bigcode", "c_attn" },
  { "mpt", "Wqkv" },
  { "RefinedWebModel", "query_key_value" },
  { "RefinedWeb", "query_key_value" },
  { "falcon", "query_key_value" },
  { "btlm", "c_proj c_attn" },
  { "codegen", "qkv_proj" },
  { "mistral", "q_proj v_proj" },
  { "mixtral", "q_proj v_proj" },
  { "stablelm", "q_proj v_proj" },
  { "phi", "q_proj v_proj fc1 fc2" },
  { "gemma", "q_proj v_proj" },
  { "gemma2", "q_proj v_proj" },
  { "gemma3_text", "q_proj v_proj" },
  { "gemma4", "~.*language_model\\..*\\.(q_proj|v_proj)" },
  { "qwen2", "q_proj v_proj" },
  { "qwen3", "q_proj v_proj" },
  { "nemotron_h", "q_proj k_proj v_proj o_proj" },
  { "rwkv", "key value receptance output" },
  { "rwkv7", "r_proj k_proj v_proj o_proj key value" },
  { NULL, NULL },
};

PeftJson *
peft_target_defaults (const PeftTargetDefault *table, const char *model_type)
{
  for (const PeftTargetDefault *row = table != NULL ? table : defaults; row->model_type != NULL;
       row++)
    {
      g_auto (GStrv) names = NULL;
      PeftJson *list;

      if (!g_str_equal (row->model_type, model_type))
        continue;
      if (row->targets[0] == '~')
        return peft_json_new_string (row->targets + 1);
      names = g_strsplit (row->targets, " ", -1);
      list = peft_json_new_array ();
      for (char **name = names; *name != NULL; name++)
        peft_json_append (list, peft_json_new_string (*name));
      return list;
    }
  return NULL;
}
